"""What clients may write into the page."""

from __future__ import annotations

from typing import Final, overload

__all__ = ["shown"]

MAX_CHARACTERS: Final = 160


@overload
def shown(text: str) -> str: ...
@overload
def shown(text: None) -> None: ...
def shown(text: str | None) -> str | None:
    """Return the beginning of a client's text: a path may be as long as the server takes headers, and 200 are shown."""
    if text is None or len(text) <= MAX_CHARACTERS:
        return text
    return f"{text[: MAX_CHARACTERS - 1]}…"
