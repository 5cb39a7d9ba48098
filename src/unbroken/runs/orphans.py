"""Runs whose process has died: one of the others ends each of them, or begins it anew."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Awaitable, Callable
from dataclasses import replace

from unbroken.errors import Fenced, TopicClosed
from unbroken.observe import logger
from unbroken.runs.desk import Desk
from unbroken.runs.events import end_payload
from unbroken.runs.index import Index
from unbroken.runs.names import DATA
from unbroken.runs.origin import elect, new_fence, recover, start_key
from unbroken.runs.plan import Plan
from unbroken.runs.record import Record, RunStatus

__all__ = ["FOR_OTHERS", "Orphans"]

FOR_OTHERS = 3
"""Leases for which an orphan is left to a process that can begin it anew, before one that cannot ends it."""


class Orphans:
    """Takes over the runs of processes that are dead. The log elects who does: losers find the key used."""

    def __init__(
        self,
        desk: Desk,
        index: Index,
        process: str,
        can_restart: Callable[[str], bool],
        read_plan: Callable[[Record], Awaitable[Plan | None]],
        launch: Callable[[Record, Plan], object],
    ) -> None:
        self._desk = desk
        self._index = index
        self._process = process
        self._can_restart = can_restart
        self._read_plan = read_plan
        self._launch = launch

    async def adopt(self, record: Record, patient: bool) -> None:
        """End a run whose process is dead, or begin it anew here.

        Args:
            record: The run.
            patient: Another process may still be able to begin it anew.

        Raises:
            LogUnavailable: it cannot be done now.
        """
        if record.process != self._process:
            await asyncio.sleep(random.uniform(0, 0.2))  # noqa: S311 - so that not all processes try at once
        now = self._index.get(record.run)
        if now is None or not now.is_running or now.fence != record.fence:
            return
        restarts = self._wants_restart(now)
        if restarts and not self._can_restart(now.producer) and patient:
            return
        try:
            await self._take_over(now, await self._read_plan(now) if restarts else None)
        except (TopicClosed, Fenced):
            await self._learn(now)

    def _wants_restart(self, record: Record) -> bool:
        return record.on_orphan == "restart" and not record.cancelled and record.attempt < record.max_attempts

    async def _take_over(self, record: Record, plan: Plan | None) -> None:
        attempt, topic = record.attempt + 1, DATA + record.run
        if plan is not None:
            await self._begin_anew(record, attempt, plan)
            return
        status = RunStatus.CANCELLED if record.cancelled else RunStatus.LOST
        payload, fence = end_payload(status, record.attempt), new_fence(record.fence)
        appended = await self._desk.append(
            topic, [payload], key=start_key(attempt), fence=fence, close=True, ttl=record.ttl
        )
        if appended.duplicate or appended.epoch != record.epoch:
            await self._learn(record)
            return
        logger.warning("the process of run %r is gone: it is %s", record.run, status)
        await self._index.write(replace(record, status=status, ended_at=time.time()))

    async def _begin_anew(self, record: Record, attempt: int, plan: Plan) -> None:
        fence = new_fence(record.fence)
        taken = await elect(self._desk, replace(record, attempt=attempt, process=self._process, fence=fence))
        if taken is None or taken.epoch != record.epoch:
            await self._learn(record)
            return
        logger.warning("the process of run %r is gone: it begins anew here", record.run)
        if (await self._index.write(taken)).is_attempt(taken):
            self._launch(taken, plan)  # and if not, this process has stood still since, and another one has it

    async def _learn(self, record: Record) -> None:
        """Say what another process has made of a run, in case that it died before it could."""
        found = await recover(self._desk, record.run)
        if found is None:  # all of it is gone
            await self._index.write(replace(record, status=RunStatus.LOST, ended_at=time.time()))
        else:
            await self._index.ensure(found)
