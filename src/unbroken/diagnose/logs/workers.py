"""What is remembered of each process that writes into a log."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Final

from unbroken.diagnose.logs.groups import Groups, Sight
from unbroken.diagnose.logs.signature import Needs
from unbroken.diagnose.logs.tracebacks import Assembly

__all__ = ["Flood", "Orphan", "Sends", "Shutdown", "Worker"]

FLOOD: Final = 100
"""Warnings within FLOOD_TIME that no generator which ever waits could cause."""
FLOOD_TIME: Final = timedelta(seconds=5)
UNTIMED_FLOOD: Final = 200
"""The same for lines without a time: so many with nothing else between."""
EVIDENCE: Final = 5
NEXT: Final = 3
"""Lines between two warnings of one run; other workers may write amid it."""

ORDERLY: Final = timedelta(seconds=5)
"""A shutdown that waited less for its connections did not hang."""


class Sends:
    """Warnings that are too few to speak for themselves: whatever has a socket gives them, and not servers only."""

    def __init__(self, groups: Groups) -> None:
        self._groups = groups
        self._sights: list[Sight] = []
        self._count = 0

    def add(self, sights: list[Sight], count: int) -> None:
        """Take note of a short run."""
        self._sights = [*self._sights, *sights][:EVIDENCE]
        self._count += count

    def settle(self, *, certain: bool) -> None:
        """Tell them, if the log is surely an ASGI server's."""
        if certain:
            self._groups.add_many("write-after-close", self._sights, self._count)
        else:
            self._groups.unrelated += self._count
        self._sights, self._count = [], 0


class Flood:
    """A run of one warning, which is told when it has ended: how long it was decides what it means."""

    def __init__(self, groups: Groups, sends: Sends) -> None:
        self._groups, self._sends = groups, sends
        self._begin()

    def _begin(self) -> None:
        self._sights: list[Sight] = []
        self._count = 0
        self._last: Sight | None = None
        self._times: deque[datetime] = deque(maxlen=FLOOD)
        self._fast = False

    def add(self, sight: Sight, count: int = 1) -> None:
        """Take note of a warning, or of `count` in adjacent lines."""
        if self._last is not None and sight.number - self._last.number > NEXT and not self._is_soon(sight):
            self.end()
        missing = EVIDENCE - len(self._sights)
        self._sights.extend(replace(sight, number=sight.number + nth) for nth in range(min(count, missing)))
        self._count += count
        self._last = Sight(sight.source, sight.number + count - 1, sight.text, sight.time)
        self._note_time(sight, count)

    def _is_soon(self, sight: Sight) -> bool:
        last = self._last
        return bool(last and last.time and sight.time and sight.time - last.time <= timedelta(seconds=1))

    def _note_time(self, sight: Sight, count: int) -> None:
        if sight.time is None:
            return
        self._times.extend([sight.time] * min(count, FLOOD))
        full = len(self._times) == FLOOD
        self._fast = self._fast or (full and abs(sight.time - self._times[0]) <= FLOOD_TIME)

    def end(self) -> None:
        """Tell the run, if there is one."""
        if self._fast if self._times else self._count >= UNTIMED_FLOOD:
            self._groups.add_many("loop-starved", self._sights, self._count)
        elif self._count >= FLOOD:
            self._groups.add_many("write-after-close", self._sights, self._count)
        else:
            self._sends.add(self._sights, self._count)
        self._begin()


@dataclass(frozen=True, slots=True)
class Orphan:
    """A traceback whose request is told after it."""

    cause: str
    route: str | None
    """Of the request before it, if none is told."""
    sight: Sight
    needs: Needs
    streams: bool


@dataclass(slots=True)
class Shutdown:
    """How far one process is in stopping."""

    stopping: bool = False
    waiting: Sight | None = None
    """It said that it waits for connections, and has not ended since."""

    def ended(self, sight: Sight, groups: Groups) -> None:
        """It has ended: it hung if that took long."""
        waiting, self.waiting = self.waiting, None
        if waiting and waiting.time and sight.time and sight.time - waiting.time > ORDERLY:
            groups.add("shutdown-hangs", None, waiting)

    def lost(self, groups: Groups) -> None:
        """Nothing more came of it: it waits for ever, or was killed at it."""
        waiting, self.waiting = self.waiting, None
        if waiting:
            groups.add("shutdown-hangs", None, waiting)


@dataclass(slots=True)
class Worker:
    """One process, or what cannot be told apart."""

    name: str
    """What the prefixes of its lines say; empty without any."""
    flood: Flood
    assemblies: list[Assembly] = field(default_factory=list)
    """Tracebacks under way, the latest last."""
    partial: str = ""
    """The beginning of a line whose end is still to come."""
    shutdowns: dict[str, Shutdown] = field(default_factory=dict)
    """By process id, where the lines have one."""
    stopping: bool = False
    """The whole server was told to end."""
    is_asgi: bool = True
    timed_out: deque[str] = field(default_factory=lambda: deque(maxlen=64))
    """Processes that gunicorn is about to kill."""
    failed: deque[tuple[str | None, int]] = field(default_factory=lambda: deque(maxlen=8))
    """Routes whose producers failed by unbroken's word, and in which line: their tracebacks are still to come."""
    fails_to_start: bool = False
    """An exception ended one of its processes, since one has last started."""
    orphan: Orphan | None = None
    patience: int = 0
    """Lines in which that may come."""

    @property
    def is_stopping(self) -> bool:
        """It, or one of its processes, is shutting down."""
        return self.stopping or any(shutdown.stopping for shutdown in self.shutdowns.values())

    @property
    def is_open(self) -> bool:
        """Its next lines must be looked at, whatever they say."""
        return bool(self.assemblies or self.partial or self.orphan)
