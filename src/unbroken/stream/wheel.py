"""One timer of the event loop for the deadlines of all its streams.

A stream has many deadlines (heartbeat, write, age, cleanup) and moves the
nearest of them with every event it sends. A timer each would be cancelled and
set anew per event. Here a stream is filed under the moment of its nearest
deadline, and moving that later costs nothing: when its moment comes, the
stream looks at the clock, does what is due, and says when it wants to look again.
"""

from __future__ import annotations

import asyncio
import heapq
import math
from typing import Protocol
from weakref import WeakKeyDictionary

__all__ = ["Timed", "TimerWheel", "current_wheel"]

RESOLUTION = 1 / 32
"""Seconds. Deadlines within one such slot share a timer; none fires early, and none later than this after its time."""


RETRY_INTERVAL = 1.0
"""Seconds after which a deadline that failed is looked at again: a stream must not lose all of its for one fault."""


class Timed(Protocol):
    """What can be filed in a wheel."""

    slot: int | None
    """Where it is filed; the wheel's own, None before and after."""

    def on_time(self, now: float) -> float | None:
        """Do what is due at `now` and return the next moment to be called, or None."""
        ...


class TimerWheel:
    """The deadlines of the streams of one event loop. To be used on that loop only."""

    # It never holds the loop: it is the value to the loop's weak key, and would keep both alive.

    def __init__(self) -> None:
        self._slots: dict[int, set[Timed]] = {}
        self._order: list[int] = []
        self._timer: asyncio.TimerHandle | None = None
        self._filed = 0

    def __len__(self) -> int:
        return self._filed

    def file(self, timed: Timed, when: float) -> None:
        """Call `timed.on_time` at `when` (the loop's clock), unless it is filed for sooner."""
        slot = math.ceil(when / RESOLUTION)
        if timed.slot is not None:
            if timed.slot <= slot:
                return
            self._take_out(timed)
        timed.slot = slot
        self._filed += 1
        if slot not in self._slots:
            self._slots[slot] = set()
            heapq.heappush(self._order, slot)
            self._arm()
        self._slots[slot].add(timed)

    def discard(self, timed: Timed) -> None:
        """Forget `timed`."""
        if timed.slot is not None:
            self._take_out(timed)
            if not self._filed:
                self._disarm()

    def _take_out(self, timed: Timed) -> None:
        assert timed.slot is not None
        self._slots[timed.slot].discard(timed)
        timed.slot = None
        self._filed -= 1

    def _disarm(self) -> None:
        self._slots.clear()
        self._order.clear()
        self._arm()

    def _arm(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._order:
            self._timer = asyncio.get_running_loop().call_at(self._order[0] * RESOLUTION, self._turn)

    def _turn(self) -> None:
        now = asyncio.get_running_loop().time()
        # The loop may call a timer early by its clock's resolution; what is within it counts as due.
        due = int(now / RESOLUTION + 1e-3)
        while self._order and self._order[0] <= due:
            slot = self._slots.pop(heapq.heappop(self._order))
            self._filed -= len(slot)
            # All are taken out before the first is called: one may discard another.
            for timed in slot:
                timed.slot = None
            for timed in slot:
                self._call(timed, now)
        self._arm()

    def _call(self, timed: Timed, now: float) -> None:
        try:
            again = timed.on_time(now)
        except Exception as exc:  # noqa: BLE001 - one stream's fault must not stop the clock of all others
            context = {"message": f"a deadline of {timed!r} failed", "exception": exc}
            asyncio.get_running_loop().call_exception_handler(context)
            self.file(timed, now + RETRY_INTERVAL)
        else:
            if again is not None:
                # A moment that has passed waits for the next slot: the turn under way would never end.
                self.file(timed, max(again, now + RESOLUTION))


_wheels: WeakKeyDictionary[asyncio.AbstractEventLoop, TimerWheel] = WeakKeyDictionary()


def current_wheel() -> TimerWheel:
    """Return the wheel of the running loop, made at the first call."""
    loop = asyncio.get_running_loop()
    wheel = _wheels.get(loop)
    if wheel is None:
        wheel = _wheels[loop] = TimerWheel()
    return wheel
