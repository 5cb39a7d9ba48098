"""What the server knows of its streams: a line for each, true at every moment."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from time import monotonic
from typing import Any

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from unbroken.observe import StreamRecord

__all__ = ["Gauged", "Ledger", "Line"]

LINES_KEPT = 24


@dataclass(slots=True, kw_only=True)
class Line:
    """One stream. What is said of its end is the record's, or the generator's own word; nothing is guessed."""

    number: int
    visitor: str
    through: str
    path: str
    client: str
    opened_at: float = field(default_factory=monotonic)
    ended_at: float | None = None
    events: int = 0
    heartbeats: int = 0
    sent_bytes: int = 0
    waits_since: float | None = None
    """When a write began that still waits for the client."""
    saw: list[str] = field(default_factory=list)
    """What reached the generator, and where it stood."""
    caught: bool = False
    """Whether the generator's `except ConnectionResetError` ran."""
    cleanup: str | None = None
    """How far the generator's `finally` came; None if it was never entered."""
    record: StreamRecord | None = None

    def close(self, record: StreamRecord) -> None:
        """Take the record of the stream's end."""
        self.record = record
        self.events, self.heartbeats, self.sent_bytes = record.events, record.heartbeats, record.sent_bytes

    def view(self, now: float) -> dict[str, Any]:
        """Return the line as the page reads it, with times in seconds until now."""
        return {
            "number": self.number,
            "visitor": self.visitor,
            "through": self.through,
            "path": self.path,
            "client": self.client,
            "open": self.ended_at is None,
            "age": (self.ended_at or now) - self.opened_at,
            "events": self.events,
            "heartbeats": self.heartbeats,
            "bytes": self.sent_bytes,
            "waits": None if self.waits_since is None else now - self.waits_since,
            "saw": self.saw,
            "caught": self.caught,
            "cleanup": self.cleanup,
            "reason": None if self.record is None else self.record.reason,
        }


class Ledger:
    """The lines of the streams there are, and of the last 24 there were."""

    def __init__(self) -> None:
        self._lines: deque[Line] = deque()
        self._opened = 0

    def open(self, visitor: str, through: str, path: str, client: str) -> Line:
        """Begin a line."""
        self._opened += 1
        line = Line(number=self._opened, visitor=visitor, through=through, path=path, client=client)
        self._lines.appendleft(line)
        self._forget()
        return line

    def view(self) -> list[dict[str, Any]]:
        """Return every line, the newest first."""
        now = monotonic()
        return [line.view(now) for line in self._lines]

    def _forget(self) -> None:
        ended = [line for line in self._lines if line.ended_at is not None]
        for line in ended[LINES_KEPT:]:
            self._lines.remove(line)


class Gauged:
    """A response whose `send` is watched, so that its line is true while the stream runs."""

    def __init__(self, response: ASGIApp, line: Line) -> None:
        self._response = response
        self._line = line

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve the response."""
        line = self._line

        async def gauge(message: Message) -> None:
            body = message.get("body", b"")
            line.waits_since = monotonic()
            try:
                await send(message)
            finally:
                line.waits_since = None
            line.sent_bytes += len(body)
            line.heartbeats += body.startswith(b"event: heartbeat\n")

        try:
            await self._response(scope, receive, gauge)
        finally:
            line.ended_at = monotonic()
