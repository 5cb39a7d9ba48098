"""Streams that all end after the same time: a hop cuts them."""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass
from typing import Final

from unbroken.diagnose.logs.groups import Groups, Sight
from unbroken.errors import CloseReason
from unbroken.observe.hops import CUT, HopDetector, half_width
from unbroken.observe.known_hops import known
from unbroken.observe.observer import Finding, Hop
from unbroken.observe.record import Cleanup, StreamRecord

__all__ = ["End", "Walls"]

KEPT: Final = 64
"""The last ends of which the lines are kept, to be shown once a wall is seen."""
WALLS: Final = 32
UNKNOWN: Final = "none that is known to have this time"


@dataclass(frozen=True, slots=True)
class End:
    """The end of a stream, as a log has it."""

    route: str
    sight: Sight
    seconds: float
    size: int | None = None
    """Bytes or events sent; None where the log does not tell."""
    reason: CloseReason = CloseReason.CLIENT_CLOSED
    """How it ended; an access log does not tell, and a hop's cut looks like a client's leaving."""
    record: StreamRecord | None = None
    """All of it, where unbroken wrote it as JSON."""


@dataclass(frozen=True, slots=True)
class _Wall:
    cause: str
    counts: Hop
    route: str | None
    seconds: float
    likely: str

    def holds(self, end: End) -> bool:
        if self.route not in (None, end.route) or end.reason not in CUT:
            return False
        measured = end.record.last_silence if end.record and self.counts is Hop.SILENCE else end.seconds
        return abs(measured - self.seconds) <= half_width(self.seconds)


class Walls:
    """The ends of streams in some logs."""

    def __init__(self, groups: Groups) -> None:
        self._groups = groups
        self._detector = HopDetector()
        self._recent: deque[End] = deque(maxlen=KEPT)
        self._walls: list[_Wall] = []

    def add(self, end: End) -> None:
        """Take note of an end; without a time nothing can be said of it."""
        if end.sight.time is None or not math.isfinite(end.seconds):
            return
        wall = next((wall for wall in self._walls if wall.holds(end)), None)
        finding = self._detector.note(end.record or _record(end))
        if wall is not None:
            self._tell(wall, end)
            return
        self._recent.append(end)
        if finding is not None and len(self._walls) < WALLS:
            self._found(finding)

    def _found(self, finding: Finding) -> None:
        ends = [end for end in self._recent if _Wall("", finding.counts, finding.route, finding.seconds, "").holds(end)]
        cause, likely = _cause(finding, ends)
        wall = _Wall(cause, finding.counts, finding.route, finding.seconds, likely)
        self._walls.append(wall)
        for end in ends:
            self._recent.remove(end)
            self._tell(wall, end)

    def _tell(self, wall: _Wall, end: End) -> None:
        self._groups.add(wall.cause, end.route, end.sight)
        self._groups.explain(wall.cause, end.route, round(wall.seconds, 1), wall.likely)


def _cause(finding: Finding, ends: list[End]) -> tuple[str, str]:
    """Return which kind of hop it is. Access logs tell ages only: what was sent must say whether they were silent."""
    if any(end.record for end in ends):
        return ("idle-timeout" if finding.counts is Hop.SILENCE else "age-limit"), finding.likely
    by_silence, by_age = known(Hop.SILENCE, finding.seconds), known(Hop.AGE, finding.seconds)
    sizes = [end.size for end in ends if end.size is not None]
    # Streams that had more and less to say until the same moment were not silent all the same time before it.
    alive = bool(sizes) and max(sizes) > 1.5 * min(sizes) + 50
    if alive or (not sizes and UNKNOWN in by_silence and UNKNOWN not in by_age):
        return "age-limit", by_age
    return "idle-timeout", by_silence


def _record(end: End) -> StreamRecord:
    """Return what is known of a stream by an access log: that it lasted so long, and no more."""
    assert end.sight.time is not None
    return StreamRecord(
        id=0,
        reason=end.reason,
        method="GET",
        path=end.route,
        route=end.route,
        client=None,
        opened_at=end.sight.time.timestamp() - end.seconds,
        duration=end.seconds,
        first_byte=None,
        longest_silence=end.seconds,
        last_silence=end.seconds,
        events=0,
        discarded=0,
        heartbeats=0,
        sent_bytes=end.size or 0,
        cleanup=Cleanup.FINISHED,
    )
