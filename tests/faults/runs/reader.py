"""A client with a will of its own: it reads a run, leaves, and comes back to another server."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from unbroken.client import EventSource, Gap, OutgoingRequest
from unbroken.errors import UnexpectedResponse

from .oracle import Diary, Line

__all__ = ["Habits", "Reader"]

Origin = Literal["start", "snapshot", "now"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Habits:
    """How often a reader does what. Times are in seconds."""

    leave: float = 0.7
    """The chance that it does not stay."""
    stays: float = 0.7
    """About how long such a one reads."""
    away: float = 0.2
    """About how long it is away."""


class Reader:
    """Follows one run to its end, over many connections, and writes down what it was given."""

    def __init__(
        self,
        run: str,
        pick: Callable[[], str],
        rng: random.Random,
        calm: asyncio.Event,
        habits: Habits,
        origin: Origin = "start",
    ) -> None:
        self.diary = Diary(run, origin == "start")
        self._pick = pick
        self._rng = rng
        self._calm = calm
        self._habits = habits
        self._params = {} if origin == "start" else {"from": origin}

    async def run(self) -> None:
        """Read until the stream has ended for good."""
        while not self.diary.finished:
            try:
                await self._visit()
            except UnexpectedResponse as refusal:
                self.diary.refused.append(refusal.status)
                return
            if not self.diary.finished:
                self.diary.leaves += 1
                await asyncio.sleep(self._rng.expovariate(1 / self._habits.away))

    async def _visit(self) -> None:
        lines = self.diary.lines
        source = EventSource(
            f"{self._pick()}/runs/{self.diary.run}",
            params=self._params,
            prepare=self._aim,
            last_event_id=lines[-1].id if lines else None,
            reconnect_delay=0.05,
            max_delay=0.2,
            connect_timeout=2.0,
            idle_timeout=2.0,
            gaps="event",
            drop_duplicates=False,  # what comes twice is to be seen
        )
        limit = asyncio.timeout(self._stay())
        try:
            async with limit, source as events:
                async for event in events:
                    if isinstance(event, Gap):
                        self.diary.gaps.append(str(event))
                    else:
                        lines.append(Line(event.last_event_id, event.event, event.data))
                self.diary.finished = True
        except TimeoutError:
            if not limit.expired():
                raise
        finally:
            self.diary.connections += source.stats.connections

    def _stay(self) -> float | None:
        leaves = not self._calm.is_set() and self._rng.random() < self._habits.leave
        return self._rng.expovariate(1 / self._habits.stays) if leaves else None

    def _aim(self, request: OutgoingRequest) -> None:
        """Go wherever somebody is, as behind a balancer."""
        request.url = f"{self._pick()}/runs/{self.diary.run}"
