"""The state of all streams at one moment, as the page and its JSON have it."""

from __future__ import annotations

import json
import os
import time
from dataclasses import dataclass
from typing import Any, Final

from unbroken.observe import OpenStream, open_streams
from unbroken.status.history import History
from unbroken.status.text import shown
from unbroken.wire import ServerSentEvent, encode

__all__ = ["Snapshot", "Snapshots"]

STREAMS_SHOWN: Final = 200
"""The oldest of the open streams: the ones that tell of leaks, and that do not jump about."""

FRESH: Final = 0.5
"""Seconds for which a snapshot serves everybody, so that many who look cost no more than two."""

COLUMNS: Final = (
    "id", "method", "path", "route", "client", "guarded", "age", "silence", "events", "heartbeats", "bytes", "reason",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Snapshot:
    """One moment."""

    taken_at: float
    """By the monotonic clock."""
    facts: dict[str, Any]
    """The streams in it are rows; `COLUMNS` names their columns."""
    frame: bytes
    """The event that tells it."""

    def as_json(self) -> bytes:
        """Return it as a document for programs, whose streams have names for their values."""
        streams = [dict(zip(COLUMNS, row, strict=True)) for row in self.facts["streams"]]
        return _json({**self.facts, "streams": streams}).encode()


class Snapshots:
    """Takes snapshots, at most two a second. May be used from any thread."""

    def __init__(self, history: History) -> None:
        self._history = history
        self._last: Snapshot | None = None

    def now(self) -> Snapshot:
        """Return the state of now, or that of half a second ago at most."""
        last = self._last
        if last is None or time.monotonic() - last.taken_at > FRESH:
            last = self._last = self._take()  # two threads may do so at once: each has a true one
        return last

    def _take(self) -> Snapshot:
        streams = open_streams()
        facts = {
            "at": time.time(),
            "process": os.getpid(),
            "open": len(streams),
            "streams": [_row(stream) for stream in streams[:STREAMS_SHOWN]],
            **self._history.view(),
        }
        # Rows, and not objects: the names of 12 columns, 200 times, would be more than all the rest of the frame.
        frame = encode(ServerSentEvent(_json({**facts, "columns": COLUMNS}), event="status"))
        return Snapshot(time.monotonic(), facts, frame)


def _row(stream: OpenStream) -> tuple[object, ...]:
    return (
        stream.id,
        shown(stream.method),
        shown(stream.path),
        stream.route,
        shown(stream.client),
        stream.guarded,
        round(stream.age(), 1),
        round(stream.silence(), 1),
        stream.events,
        stream.heartbeats,
        stream.sent_bytes,
        stream.reason,
    )


def _json(facts: dict[str, Any]) -> str:
    # ASCII only: a path may hold half of a surrogate pair, which UTF-8 cannot carry.
    return json.dumps(facts, ensure_ascii=True, separators=(",", ":"))
