"""What clients may write into the log."""

from __future__ import annotations

__all__ = ["printable"]


def printable(text: str, limit: int = 500) -> str:
    r"""Return a client's text as a log line can hold it: without line ends and commands to terminals, and not long.

    Servers decode `%0A` and `%1B` in a path. What is not printable (controls,
    C1 too; line separators such as U+2028; marks that turn the direction of
    writing; lone surrogates, which UTF-8 cannot carry) is shown as Python
    writes it: `\n`, `\x1b`, `\u2028`. A backslash stays one: who needs the
    exact text finds it in the line's attribute `stream`.

    Args:
        text: The text.
        limit: Characters of the result, 500 by default; of a longer one the beginning stays, with an ellipsis.
    """
    # Of a long text one character more than fits: enough to see that it is long.
    shown = text if text.isprintable() else "".join(map(_escaped, text[: limit + 1]))
    return shown if len(shown) <= limit else f"{shown[: limit - 1]}…"


def _escaped(character: str) -> str:
    return character if character.isprintable() else character.encode("unicode_escape").decode()
