"""Which lines of a log are worth a look: found by their words in whole blocks, without taking lines apart."""

from __future__ import annotations

from typing import Final

__all__ = ["ANCHORS", "ROUTE_ANCHORS", "WORDS", "interesting"]

ROUTE_ANCHORS: Final = ("/sse", "/stream", "/event", "/subscri", "/completions")
"""How the paths of streams go, where nothing else tells that a request was one."""

WORDS: Final = (
    "Traceback (",
    "raised exc",
    "ASGI",
    "unning on http",
    "aiting for ",
    " server process",
    "hutting down",
    "ancel ",
    " worker-",
    "Using worker",
    "WORKER TIMEOUT",
    " SIG",
    "ing signal",
    "Child process",
    "Killed process",
    "too long to",
    " upstream",
    "incomplete ",
    "code=H",
    "maximum request",
    "Executing <",
    "destroyed but",
    "garbage coll",
    "already running",
    "GeneratorExit",
    "cannot import",
    "No module named",
    "event-stream",
    "find session",
    "closing transport",
    " after ",
    "last_silence",
    "cleanup ",
    "refused, ",
    "ended at a",
)
"""Each signature of a line holds one of these, and few other lines do. Proxies' marks stand beside a stream's path."""

ANCHORS: Final = tuple(word.encode() for word in (*ROUTE_ANCHORS, *WORDS))


def interesting(buffer: bytes, start: int) -> list[int]:
    """Return the positions of the lines from `start` on that hold an anchor, in order."""
    found: set[int] = set()
    for anchor in ANCHORS:
        position = buffer.find(anchor, start)
        while position >= 0:
            found.add(buffer.rfind(b"\n", 0, position) + 1)
            end = buffer.find(b"\n", position)
            position = buffer.find(anchor, end + 1) if end >= 0 else -1
    return sorted(found)
