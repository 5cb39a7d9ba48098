"""What is known of a stream once it has ended, as one value."""

from __future__ import annotations

from collections.abc import Hashable
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
    """The life of one stream, from its first moment to its one close reason. Times are in seconds."""

    id: int
    """What tells the streams of one process apart."""
    reason: CloseReason
    method: str
    path: str
    route: str | None
    """The path's template, such as `/users/{id}/events`; None where the framework does not tell."""
    client: str | None
    """Host and port as the server gave them, or None."""
    key: Hashable = None
    """What `Limits.key` said of the client; None without limits."""
    guarded: bool = False
    """It was another library's response, in an `EventStreamGuard`."""
    opened_at: float
    """Seconds since the epoch."""
    duration: float
    """Seconds from the call of the response to its end, cleanup included."""
    first_byte: float | None
    """Seconds until the headers left; None if they never did."""
    longest_silence: float
    """The longest time without a byte, heartbeats being bytes; the last silence included."""
    last_silence: float
    """Seconds from the last byte to the moment at which the stream was known to end."""
    events: int
    """Items of the producer that were handed to the server; events, of a guarded stream."""
    discarded: int
    """Items that the producer yielded after its client had gone."""
    heartbeats: int
    sent_bytes: int
    """Bytes of the body handed to the server, heartbeats and control events included."""
    cleanup: Cleanup
    error: BaseException | None = None
    """What the producer, its cleanup or the write raised; None after an orderly end. It holds frames: keep it not."""

    @property
    def error_type(self) -> str | None:
        """The name of the error's class."""
        return None if self.error is None else type(self.error).__name__

    def as_dict(self) -> dict[str, object]:
        """Return the record as plain data: JSON can carry it, if it can carry `key`; of the error there is the name.

        What the client wrote (`method`, `path`) is as it came, line ends and controls included: JSON escapes them.
        """
        names = [name for name in self.__slots__ if name != "error"]
        plain = {name: getattr(self, name) for name in names}
        return {**plain, "reason": str(self.reason), "cleanup": str(self.cleanup), "error": self.error_type}
