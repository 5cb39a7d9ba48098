"""What a reader does just now, in one line."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager

from unbroken.cli.diagnosis.output import count
from unbroken.cli.tail.screen import Screen
from unbroken.client import ReaderStats, ReadyState, StateChange

__all__ = ["Progress"]

TICK = 0.25
"""Seconds between two looks at the figures."""
RATE_TICKS = 20
"""Looks over which the rate is taken: 5 seconds."""


class Progress:
    """Shows state and figures at the bottom of the screen, where it has one."""

    def __init__(self, screen: Screen, stats: Callable[[], ReaderStats]) -> None:
        self._screen = screen
        self._stats = stats
        self._state = ReadyState.CONNECTING
        self._again_at: float | None = None
        self._is_shown = False
        self._comments = 0
        self._heard_at: float | None = None
        self._looks = deque[tuple[float, int]](maxlen=RATE_TICKS)

    def changed(self, change: StateChange) -> None:
        """Take in a change of the state."""
        self._state = change.state
        self._again_at = None if change.delay is None else _now() + change.delay
        self._show()

    @asynccontextmanager
    async def shown(self) -> AsyncIterator[None]:
        """Show it within the block."""
        if not self._screen.has_bottom:
            yield
            return
        self._is_shown = True
        ticking = asyncio.create_task(self._tick(), name="unbroken tail: progress")
        try:
            yield
        finally:
            ticking.cancel()
            await asyncio.wait([ticking])
            self._is_shown = False
            self._screen.show_bottom("")

    async def _tick(self) -> None:
        while True:
            self._show()
            await asyncio.sleep(TICK)

    def _show(self) -> None:
        if self._is_shown:
            self._screen.show_bottom(", ".join(self._parts(self._stats(), _now())))

    def _parts(self, stats: ReaderStats, now: float) -> Iterator[str]:
        yield self._doing(now)
        yield count(stats.events, "event")
        yield f"{self._rate(stats.events, now):.1f}/s"
        if stats.gaps:
            yield count(stats.gaps, "gap")
        if stats.connections > 1:
            yield count(stats.connections - 1, "reconnection")
        yield self._heartbeat(stats.comments, now)

    def _doing(self, now: float) -> str:
        left = 0.0 if self._again_at is None else self._again_at - now
        return f"{self._state}, again in {left:.0f} s" if left >= 1 else str(self._state)

    def _rate(self, events: int, now: float) -> float:
        self._looks.append((now, events))
        began, before = self._looks[0]
        return (events - before) / (now - began) if now > began else 0.0

    def _heartbeat(self, comments: int, now: float) -> str:
        if comments != self._comments:
            self._comments, self._heard_at = comments, now
        return "no heartbeat yet" if self._heard_at is None else f"last heartbeat {now - self._heard_at:.0f} s ago"


def _now() -> float:
    return asyncio.get_running_loop().time()
