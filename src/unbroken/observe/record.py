"""What is known of a stream once it has ended, as one value."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from unbroken.errors import CloseReason

__all__ = ["Cleanup", "StreamRecord"]


class Cleanup(StrEnum):
    """How far the producer's own cleanup (`except`, `finally`, `async with`) came."""

    FINISHED = "finished"
    """It ran to its end; this is also said of a producer that had nothing to clean."""
    FAILED = "failed"
    """It raised; the exception is in the record and in the log."""
    CANCELLED = "cancelled"
    """It was still at work after `cleanup_timeout`, was cancelled for good, and then ended."""
    ABANDONED = "abandoned"
    """It resisted even that (a blocked thread, a swallowed cancellation) and is no longer waited for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamRecord:
    """The life of one stream, from its first moment to its one close reason."""

    reason: CloseReason
    method: str
    path: str
    client: str | None
    """Host and port as the server gave them, or None."""
    opened_at: float
    """Seconds since the epoch."""
    duration: float
    """Seconds from the call of the response to its end, cleanup included."""
    first_byte: float | None
    """Seconds until the headers left; None if they never did."""
    events: int
    """Items of the producer that were handed to the server."""
    discarded: int
    """Items that the producer yielded after its client had gone."""
    heartbeats: int
    sent_bytes: int
    """Bytes of the body handed to the server, heartbeats and control events included."""
    cleanup: Cleanup
    error: BaseException | None = None
    """What the producer, its cleanup or the write raised; None after an orderly end."""
