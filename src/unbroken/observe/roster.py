"""The open streams of this process, on whichever event loop."""

from __future__ import annotations

from unbroken.observe.observer import OpenStream

__all__ = ["enter", "leave", "open_streams"]

_open: dict[int, OpenStream] = {}


def open_streams() -> list[OpenStream]:
    """Return the streams that are open now, the oldest first. May be called from any thread."""
    return list(_open.values())  # one step under the interpreter's lock: a dict keeps the order of entry


def enter(stream: OpenStream) -> None:
    """Add a stream."""
    _open[stream.id] = stream


def leave(stream: OpenStream) -> None:
    """Take it out."""
    _open.pop(stream.id, None)
