"""What an observer is told, and of what."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from unbroken.errors import CloseReason
from unbroken.observe.record import StreamRecord

__all__ = ["Finding", "Hop", "Observer", "OpenStream", "Refusal"]


class OpenStream(Protocol):
    """A stream that is open. Its numbers are those of the moment; to be read on any thread, and not to be kept."""

    @property
    def id(self) -> int:
        """What tells the streams of one process apart; the record of its end has the same."""
        ...

    @property
    def method(self) -> str:
        """The request's method."""
        ...

    @property
    def path(self) -> str:
        """The request's path."""
        ...

    @property
    def route(self) -> str | None:
        """The path's template, or None where the framework does not tell."""
        ...

    @property
    def client(self) -> str | None:
        """Host and port as the server gave them, or None."""
        ...

    @property
    def key(self) -> Hashable:
        """What `Limits.key` said of the client; None without limits."""
        ...

    @property
    def guarded(self) -> bool:
        """It is another library's response, in an `EventStreamGuard`."""
        ...

    @property
    def opened_at(self) -> float:
        """Seconds since the epoch."""
        ...

    @property
    def reason(self) -> CloseReason | None:
        """Why it is ending; None while it is not."""
        ...

    @property
    def events(self) -> int:
        """Events handed to the server so far."""
        ...

    @property
    def heartbeats(self) -> int:
        """Heartbeats so far."""
        ...

    @property
    def sent_bytes(self) -> int:
        """Bytes of the body so far."""
        ...

    def age(self) -> float:
        """Return the seconds since its first moment."""
        ...

    def silence(self) -> float:
        """Return the seconds since its last byte."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """A stream that was not opened, because a limit was reached."""

    limit: str
    """`total`, `client` or `key`."""
    allowed: int
    method: str
    path: str
    route: str | None
    client: str | None
    key: Hashable


class Hop(StrEnum):
    """What a hop between server and client counts before it cuts a connection."""

    SILENCE = "silence"
    """The time without a byte: a shorter heartbeat cures it."""
    AGE = "age"
    """The time since the request: only a shorter `max_age`, and the client's reconnection, help."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """A pattern in the ends of streams: something on the way cuts them after a fixed time."""

    counts: Hop
    seconds: float
    """The time after which streams are cut."""
    streams: int
    """How many showed it, of those that were looked at."""
    looked_at: int
    route: str | None
    """The route it was seen on; None if on several."""
    likely: str
    """Hops known to have such a timeout."""
    advice: str
    """What to change."""


class Observer(Protocol):
    """What is told of streams. Subclass it and write the methods that you want; the others do nothing."""

    def opened(self, stream: OpenStream) -> None:
        """A stream has begun."""
        return

    def closed(self, record: StreamRecord) -> None:
        """A stream has ended, and its producer has cleaned up."""
        return

    def refused(self, refusal: Refusal) -> None:
        """A stream was not opened."""
        return

    def found(self, finding: Finding) -> None:
        """The ends of streams show a pattern. Told once for each, and again when it has grown tenfold."""
        return
