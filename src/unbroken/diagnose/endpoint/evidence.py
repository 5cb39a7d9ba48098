"""What the probes found, for the judges."""

from __future__ import annotations

from dataclasses import dataclass, field

from unbroken.diagnose.endpoint.connection import Failure
from unbroken.diagnose.endpoint.exchange import End
from unbroken.diagnose.endpoint.options import Options
from unbroken.diagnose.endpoint.recording import Recording
from unbroken.diagnose.endpoint.target import Secrets, Target

__all__ = [
    "Evidence",
    "HeadAnswer",
    "Reset",
    "SlowRead",
    "came_to_its_end",
    "is_event_stream",
    "media_type",
    "tells_gap",
]

GAP_EVENTS = frozenset({"stream-gap", "stream-reset"})
BODY_STARTS = (b"data:", b"event:", b"id:", b"retry:", b":", b"\xef\xbb\xbfdata:")


@dataclass(frozen=True, slots=True)
class HeadAnswer:
    """What came for HEAD."""

    recording: Recording
    done: bool
    """Whether the server closed the connection, as it was asked to."""


@dataclass(frozen=True, slots=True)
class SlowRead:
    """A reader that stopped for a while."""

    recording: Recording
    before: int
    """Bytes it had before it stopped."""
    paused: float


@dataclass(frozen=True, slots=True)
class Reset:
    """A connection that was reset, and the next one."""

    following: Recording | Failure


@dataclass(slots=True)
class Evidence:
    """Everything that was seen of one endpoint."""

    target: Target
    """Where the redirects ended."""
    options: Options
    secrets: Secrets
    first: Target
    """The URL as given."""
    redirects: list[int] = field(default_factory=list)
    stopped_at: str = ""
    """Why a redirect was not followed."""
    main: Recording | Failure | None = None
    http2: Recording | Failure | None = None
    compressed: Recording | Failure | None = None
    reconnected: Recording | Failure | None = None
    asked_after: bytes | None = None
    """The ID that the reconnection sent."""
    head: HeadAnswer | Failure | None = None
    slow: SlowRead | Failure | None = None
    half_closed: Recording | Failure | None = None
    reset: Reset | Failure | None = None
    several: list[Recording | Failure] = field(default_factory=list)
    skipped: dict[str, str] = field(default_factory=dict)
    """Why a probe was not made, or not to its end, by its name."""

    @property
    def reading(self) -> Recording:
        """The response to the first request, for checks that need one."""
        assert isinstance(self.main, Recording)
        return self.main

    @property
    def patience(self) -> float:
        """Seconds that a further connection gets for its first event: more where the first one needed more."""
        first = self.main.events[0].at if isinstance(self.main, Recording) and self.main.events else 0.0
        return max(self.options.probe_timeout, min(2 * first, 10.0))


def is_event_stream(recording: Recording) -> bool:
    """Whether there is a stream to look at: by its type, or by its first bytes."""
    head = recording.head
    if head is None or head.status != 200:
        return False
    return media_type(recording) == "text/event-stream" or recording.beginning.startswith(BODY_STARTS)


def media_type(recording: Recording) -> str:
    """Return the type without its parameters, in lower case."""
    value = (recording.head.get("content-type") if recording.head else None) or ""
    return value.partition(";")[0].strip().lower()


def came_to_its_end(recording: Recording) -> bool:
    """Whether the response ended in good order, as far as one can see."""
    return recording.ended is not None and recording.ended.how in (End.COMPLETE, End.CLOSED)


def tells_gap(recording: Recording) -> bool:
    """Whether the stream says that it lost something."""
    return any(timed.event.event in GAP_EVENTS for timed in recording.events)
