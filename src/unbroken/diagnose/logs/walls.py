"""Streams that all end after the same time: a hop cuts them."""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass, replace
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
USUAL_HEARTBEAT: Final = 15
"""Seconds, in sse-starlette, fastapi.sse and unbroken."""
ALIKE: Final = 16
"""Bytes by which the same first event differs: numbers in it have one digit more."""
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
    told: bool = False
    """unbroken's own line says it: a client's side ended it, and `size` is in events."""
    record: StreamRecord | None = None
    """All of it, where unbroken wrote it as JSON."""


@dataclass(frozen=True, slots=True)
class _Wall:
    cause: str
    counts: Hop
    route: str | None
    seconds: float
    likely: str
    certain: bool

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
        found = _Wall("", finding.counts, finding.route, finding.seconds, "", certain=False)
        ends = [end for end in self._recent if found.holds(end)]
        wall = _explained(found, finding, ends)
        self._walls.append(wall)
        for end in ends:
            self._recent.remove(end)
            self._tell(wall, end)

    def _tell(self, wall: _Wall, end: End) -> None:
        self._groups.add(wall.cause, end.route, end.sight, certain=wall.certain)
        self._groups.explain(wall.cause, end.route, round(wall.seconds, 1), wall.likely)


def _explained(wall: _Wall, finding: Finding, ends: list[End]) -> _Wall:
    """Return the wall with its cause. unbroken's records tell silence from age; all others know durations only."""
    if any(end.record for end in ends):
        cause = "idle-timeout" if finding.counts is Hop.SILENCE else "age-limit"
        return replace(wall, cause=cause, likely=finding.likely, certain=True)
    by_silence, by_age = known(Hop.SILENCE, wall.seconds), known(Hop.AGE, wall.seconds)
    # Of what comes into question the likelier first: the one that some hop is known for, and that a heartbeat cures.
    cause = "age-limit" if UNKNOWN in by_silence or (UNKNOWN not in by_age and _vary(ends)) else "idle-timeout"
    if cause == "idle-timeout" and _were_silent(ends, wall.seconds):
        return replace(wall, cause=cause, likely=by_silence, certain=True)
    return replace(wall, cause=cause, likely=_possibilities(by_silence, by_age, ends))


def _were_silent(ends: list[End], seconds: float) -> bool:
    """Say whether so little was sent, and by each the same, that not even heartbeats can have been among it."""
    sizes = [end.size for end in ends if end.size is not None and not end.told]
    shortest = len(": ping\n\n") * (seconds // USUAL_HEARTBEAT)
    return len(sizes) == len(ends) and max(sizes) < shortest and max(sizes) - min(sizes) <= ALIKE


def _vary(ends: list[End]) -> bool:
    """Say whether they had more and less to say until the same moment. A snapshot at the start can differ as much."""
    sizes = [end.size for end in ends if end.size is not None]
    return bool(sizes) and max(sizes) > 1.5 * min(sizes) + 50


def _possibilities(by_silence: str, by_age: str, ends: list[End]) -> str:
    hops = [f"a hop that cuts silence ({_short(by_silence)})", f"a hop that cuts at an age ({_short(by_age)})"]
    if not all(end.told for end in ends):
        hops.append("the source's own end")  # of which unbroken would have said that it was
    return f"{', '.join(hops[:-1])} or {hops[-1]}: durations alone do not tell"


def _short(likely: str) -> str:
    return "none is known to have this time" if UNKNOWN in likely else likely


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
