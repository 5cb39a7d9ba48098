"""The detector of hops that cut streams after a fixed time.

People leave at any time: their streams' ends are spread. A hop with a timeout
cuts every stream that reaches it, and nothing lives longer: the ends make a wall.
That wall is looked for, around the time at which a stream has just ended:

- at least 8 streams were ended by the client's side there,
- they are at least 40 % of all streams that came so far, however those ended,
- just before it (three times as wide) there are at most a quarter as many,
- they ended in at least three different moments, since all streams also end
  together when a proxy restarts, after ages and silences that are alike.

Simulated people (ages exponential, log-normal, uniform and normal, one crowd or
several, with and without heartbeats and events; 3,500 runs, 5.6 million ends) raise
no alarm. A hop that all are behind is found with the eighth to tenth stream it cuts.
`tests/observe/test_hops.py` holds a part of that.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right, insort
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from operator import itemgetter
from threading import Lock
from typing import Final, NamedTuple

from unbroken.errors import CloseReason, ConfigurationError
from unbroken.observe.known_hops import known
from unbroken.observe.observer import Finding, Hop, Observer
from unbroken.observe.observers import tell
from unbroken.observe.record import StreamRecord

__all__ = ["HopDetector", "default_hop_detector", "half_width"]

CUT: Final = frozenset({CloseReason.CLIENT_CLOSED, CloseReason.WRITE_FAILED})
"""How a hop's cut looks from the server; a client's own leaving looks the same."""

ENDS: Final = 512
"""The last ends of each route that are looked at."""
ROUTES: Final = 256
"""Routes with a window of their own; further ones are looked at only together."""
PATTERNS: Final = 32
"""Patterns that are remembered as told; the oldest is forgotten first."""

LEAST_CUT: Final = 8
LEAST_SHARE: Final = 0.4
LEAST_MOMENTS: Final = 3
LARGEST_DISTANCE: Final = 60.0
"""Seconds between two moments that are surely different; less for a hop that is faster itself."""
CONTRAST: Final = 4
"""How many times more streams end in the wall than in the stretch before it, which is three times as wide."""
STRETCH: Final = 3

HEARTBEATS: Final = (1, 2, 3, 5, 10, 15, 20, 25, 30, 45, 60, 100, 120, 150)
"""Round values to advise, in seconds."""


class _End(NamedTuple):
    """What is kept of a record: the record itself holds frames, by its error."""

    moment: float
    age: float
    silence: float
    longest: float
    cut: bool
    """A hop may have ended it, then."""
    silent_cut: bool
    """For its silence: it never survived one as long, nor one that a heartbeat ended."""
    aged_cut: bool
    """For its age alone: it was not silent all its life."""


def _end(record: StreamRecord) -> _End:
    age, silence, longest = record.duration, record.last_silence, record.longest_silence
    # A write of a heartbeat that fails finds a loss of any time before it: these ages are multiples of the interval.
    by_heartbeat = record.reason is CloseReason.WRITE_FAILED and record.heartbeats
    cut = record.reason in CUT and not by_heartbeat
    # A heartbeat only leaves after a silence as long as its interval, and no later silence is longer.
    silent_cut = cut and not record.heartbeats and longest - silence <= half_width(silence)
    aged_cut = cut and age - longest > half_width(age)
    return _End(record.opened_at + age, age, silence, longest, cut, silent_cut, aged_cut)


def half_width(seconds: float) -> float:
    """Return half the width of a wall: the way's jitter, and clocks that are looked at now and then."""
    return 0.15 + 0.01 * seconds


class _Axis:
    """The ends of one window along one measure, sorted, so that a look takes a few bisections."""

    __slots__ = ("cut", "left", "reached")

    def __init__(self) -> None:
        self.cut: list[tuple[float, float]] = []
        """Value and moment of those that this kind of hop may have ended."""
        self.left: list[float] = []
        """The values of all that their client's side ended."""
        self.reached: list[float] = []
        """How far every stream came, however it ended."""

    def add(self, value: float, reached: float, moment: float, left: bool, cut: bool) -> None:
        insort(self.reached, reached)
        if left:
            insort(self.left, value)
        if cut:
            insort(self.cut, (value, moment))

    def remove(self, value: float, reached: float, moment: float, left: bool, cut: bool) -> None:
        del self.reached[bisect_left(self.reached, reached)]
        if left:
            del self.left[bisect_left(self.left, value)]
        if cut:
            del self.cut[bisect_left(self.cut, (value, moment))]

    def wall(self, seconds: float) -> list[tuple[float, float]]:
        """Return the ends around `seconds` if they make a wall, else nothing."""
        half = half_width(seconds)
        low, high = seconds - half, seconds + half
        first, last = bisect_left(self.cut, (low,)), bisect_right(self.cut, (high, float("inf")))
        if last - first < LEAST_CUT:
            return []
        if last - first < LEAST_SHARE * (len(self.reached) - bisect_left(self.reached, low)):
            return []
        before = bisect_left(self.left, low) - bisect_left(self.left, low - STRETCH * 2 * half)
        if CONTRAST * before > last - first:
            return []
        ends = self.cut[first:last]
        return ends if _in_several_moments(ends, min(seconds / 2, LARGEST_DISTANCE)) else []


def _in_several_moments(ends: list[tuple[float, float]], distance: float) -> bool:
    """Say whether enough of `ends` lie this far from each other in time."""
    moments = [moment for _, moment in ends]
    if max(moments) - min(moments) < distance:
        return False  # a storm: thousands end at once, and for each of them this would be asked of all the others
    apart: list[float] = []
    for moment in moments:
        if all(abs(moment - other) >= distance for other in apart):
            apart.append(moment)
            if len(apart) == LEAST_MOMENTS:
                return True
    return False


class _Window:
    """The last ends of one route, or of all."""

    __slots__ = ("_ends", "axes")

    def __init__(self) -> None:
        self._ends: deque[_End] = deque()
        self.axes = {Hop.SILENCE: _Axis(), Hop.AGE: _Axis()}

    def __len__(self) -> int:
        return len(self._ends)

    def add(self, end: _End) -> None:
        if len(self._ends) == ENDS:
            self._forget(self._ends.popleft())
        self._ends.append(end)
        self.axes[Hop.SILENCE].add(end.silence, end.longest, end.moment, end.cut, end.silent_cut)
        self.axes[Hop.AGE].add(end.age, end.age, end.moment, end.cut, end.aged_cut)

    def _forget(self, end: _End) -> None:
        self.axes[Hop.SILENCE].remove(end.silence, end.longest, end.moment, end.cut, end.silent_cut)
        self.axes[Hop.AGE].remove(end.age, end.age, end.moment, end.cut, end.aged_cut)

    def look(self, end: _End, at_least: float) -> _Wall | None:
        """Return the wall in which `end` lies, if it lies in one."""
        if not end.cut:
            return None
        silence = self._wall(Hop.SILENCE, end.silence) if end.silence >= at_least else None
        age = self._wall(Hop.AGE, end.age) if end.age >= at_least else None
        if silence is None or age is None:
            return silence or age
        # Where both explain the same ends it is the silence, which can be cured. Behind a hop that counts the age
        # there are more streams that had events or heartbeats.
        return age if age.streams > 1.2 * silence.streams else silence

    def _wall(self, counts: Hop, seconds: float) -> _Wall | None:
        ends = self.axes[counts].wall(seconds)
        return _Wall(counts, ends[len(ends) // 2][0], len(ends)) if ends else None


class _Wall(NamedTuple):
    counts: Hop
    seconds: float
    streams: int


@dataclass(slots=True)
class _Pattern:
    """A wall that was told."""

    counts: Hop
    seconds: float
    route: str | None
    seen: int
    """Streams that it has cut since it was first found, beyond the window too."""
    tell_at: int

    def fits(self, wall: _Wall) -> bool:
        return self.counts is wall.counts and abs(self.seconds - wall.seconds) <= 2 * half_width(wall.seconds)


class HopDetector(Observer):
    """Finds hops with a timeout by the ends of streams, and tells all observers of each, once.

    `found` is called of every attached observer when a hop shows, and again when
    it has cut ten times as many. The same hop on a second route is told once more,
    with no route; then no more. At most 512 ends of each of 256 routes are kept,
    about 55 KiB a route; further routes are looked at together. A closed stream
    costs about 10 µs. May be used from any thread.

    Args:
        at_least: Seconds below which no timeout is looked for. No hop is known
            that is as strict as 5 s, and clients that stay shorter leave alike.

    Raises:
        ConfigurationError: `at_least` is not positive.
    """

    def __init__(self, *, at_least: float = 5.0) -> None:
        if at_least <= 0:
            raise ConfigurationError(f"at_least={at_least!r} is out of range: give seconds, more than 0")
        self._at_least = at_least
        self._lock = Lock()
        self._forget()

    def _forget(self) -> None:
        self._all = _Window()
        self._routes: dict[str, _Window] = {}
        self._patterns: deque[_Pattern] = deque(maxlen=PATTERNS)

    def clear(self) -> None:
        """Forget every end and every finding, for instance after the hop was reconfigured."""
        with self._lock:
            self._forget()

    def closed(self, record: StreamRecord) -> None:
        """Take note of an end, and tell what it shows."""
        finding = self.note(record)
        if finding is not None:
            tell("found", finding)  # without the lock: an observer may ask for the findings

    def note(self, record: StreamRecord) -> Finding | None:
        """Take note of an end, and return what is new by it, telling nobody: for ends that are not this process's."""
        end = _end(record)
        with self._lock:
            return self._note(end, record.route)

    def findings(self) -> tuple[Finding, ...]:
        """Return what shows in the ends that are kept, the first found first.

        A hop that was cured shows until its last ends are beyond the 512, or `clear` is called.
        """
        with self._lock:
            return tuple(self._holding())

    def _holding(self) -> Iterator[Finding]:
        for pattern in self._patterns:
            windows = [self._window(pattern.route)] if pattern.route else [self._all, *self._routes.values()]
            if any(window.axes[pattern.counts].wall(pattern.seconds) for window in windows):
                yield self._finding(pattern)

    def _window(self, route: str | None) -> _Window:
        return self._all if route is None else self._routes.get(route, self._all)

    def _note(self, end: _End, route: str | None) -> Finding | None:
        own = self._own(route)
        self._all.add(end)
        wall = None
        if own is not None:
            own.add(end)
            wall = own.look(end, self._at_least)
        if wall is None:
            wall, route = self._all.look(end, self._at_least), None
        return None if wall is None else self._tellable(wall, route)

    def _own(self, route: str | None) -> _Window | None:
        if route is None:
            return None
        if route not in self._routes and len(self._routes) < ROUTES:
            self._routes[route] = _Window()
        return self._routes.get(route)

    def _tellable(self, wall: _Wall, route: str | None) -> Finding | None:
        """Return the finding if it is news."""
        pattern = next((pattern for pattern in self._patterns if pattern.fits(wall)), None)
        if pattern is None:
            pattern = _Pattern(wall.counts, wall.seconds, route, wall.streams, 10 * wall.streams)
            self._patterns.append(pattern)
            return self._finding(pattern)
        spreads = pattern.route is not None and pattern.route != route
        if spreads and route is None:
            return None  # one end somewhere else is chance
        pattern.seen += 1
        if spreads:
            pattern.route = None
        if pattern.seen < pattern.tell_at and not spreads:
            return None
        pattern.tell_at = 10 * pattern.seen
        return self._finding(pattern)

    def _finding(self, pattern: _Pattern) -> Finding:
        window = self._window(pattern.route)
        half = half_width(pattern.seconds)
        cut = window.axes[pattern.counts].cut
        streams = bisect_right(cut, pattern.seconds + half, key=itemgetter(0)) - bisect_left(
            cut, pattern.seconds - half, key=itemgetter(0)
        )
        return Finding(
            counts=pattern.counts,
            seconds=pattern.seconds,
            streams=streams,
            looked_at=len(window),
            route=pattern.route,
            likely=known(pattern.counts, pattern.seconds),
            advice=_advice(pattern.counts, pattern.seconds),
        )


def _advice(counts: Hop, seconds: float) -> str:
    if counts is Hop.SILENCE:
        heartbeat = max((value for value in HEARTBEATS if value < 0.46 * seconds), default=round(seconds / 3, 1))
        return f"Set heartbeat={heartbeat:g}: below half of {seconds:.3g} s, so that one that is late does no harm"
    # A fifth below, since max_age is spread by max_age_jitter.
    return (
        f"Set max_age={max(1, int(seconds * 0.8))}, so that streams end in good order before {seconds:.3g} s and their "
        "clients come back; or raise the hop's timeout, which no heartbeat can"
    )


default_hop_detector = HopDetector()
"""Attached from the start; `detach(default_hop_detector)` ends its looking."""
