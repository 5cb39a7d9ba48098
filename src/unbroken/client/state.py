"""What a client tells of itself."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from unbroken.errors import CloseReason

__all__ = ["ReaderStats", "ReadyState", "StateChange"]


class ReadyState(StrEnum):
    """The states of WHATWG 9.2.2, by their names there."""

    CONNECTING = "connecting"
    """Not connected, or not yet again: the next attempt is made or waited for."""
    OPEN = "open"
    """The server has answered with an event stream."""
    CLOSED = "closed"
    """There will be no more events."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StateChange:
    """A client's step from one state into another, or a further attempt that failed."""

    state: ReadyState
    """The state it is in now."""
    url: str
    """What it reads."""
    error: Exception | None = None
    """Why it is no longer open, or why an attempt failed. None for an end in good order, and for good news."""
    reason: CloseReason | None = None
    """Why the server ended the stream, if it said so and it is to be asked again: `shutdown` or `max_age`."""
    failures: int = 0
    """Attempts that failed, one after the other, up to now."""
    delay: float | None = None
    """Seconds until the next attempt; None where there is none."""
    last_event_id: str = ""
    """The place from which it goes on."""


@dataclass(slots=True)
class ReaderStats:
    """What one client has read up to now, over all its connections."""

    connections: int = 0
    """Event streams that were opened."""
    failures: int = 0
    """Attempts that failed, and streams that broke."""
    events: int = 0
    """Events that were taken in, without duplicates, gaps and control events."""
    comments: int = 0
    """Comments, heartbeats among them."""
    bytes: int = 0
    """Bytes of bodies, decompressed."""
    gaps: int = 0
    """Gaps that the server told of."""
    duplicates: int = 0
    """Events that came once more after a reconnection, and were dropped."""
