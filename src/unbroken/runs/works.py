"""What of the runs goes on in this process while they are open."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Coroutine
from contextvars import Context
from typing import Any, TypeVar

from unbroken.errors import LogUnavailable
from unbroken.hub.engine import Engine
from unbroken.hub.home import Home
from unbroken.logs.position import new_token
from unbroken.observe import logger
from unbroken.runs.access import Access
from unbroken.runs.desk import Desk
from unbroken.runs.index import Index
from unbroken.runs.lease import Lease, Leases
from unbroken.runs.options import RunsOptions
from unbroken.runs.orphans import FOR_OTHERS, Orphans
from unbroken.runs.plan import Plan, find_plan
from unbroken.runs.presence import Presence, Readers
from unbroken.runs.production import Production, Workshop
from unbroken.runs.record import Record, RunStatus
from unbroken.runs.registry import Registry
from unbroken.runs.run import Run
from unbroken.runs.writer import Bounds

__all__ = ["Works"]

T = TypeVar("T")

AT_ONCE = 32
"""Orphans that are taken over at a time."""

CLOSE_PATIENCE = 5.0
"""Seconds for the last events of all runs when they are closed, beyond the time that their producers have."""


class Works:
    """The productions of this process, the index, the leases and the sweep. On the hub's loop only."""

    def __init__(
        self, home: Home, engine: Engine, options: RunsOptions, registry: Registry, max_event_bytes: int
    ) -> None:
        self.process = new_token(8)
        self.desk = Desk(engine, options.ttl)
        self.index = Index(self.desk, options.ttl)
        self.is_closing = False
        self.is_over = False
        """Nothing begins any more, whoever has been waiting to."""
        self.starting: set[str] = set()
        """Runs that are in the index already, and have no production yet."""
        self.access = Access(home, self)
        self.is_closed = False
        self.options = options
        self._registry = registry
        self._productions: dict[str, Production] = {}
        self._tasks: set[asyncio.Task[Any]] = set()
        self._starts: set[asyncio.Task[Any]] = set()
        self._lease = Lease(self.desk, self.process, options.lease)
        self._leases = Leases(self.desk, options.lease)
        self._orphans = Orphans(self.desk, self.index, self.process, registry.has, self._read_plan, self.launch)
        self.readers = Readers(self.desk, self.process, self._presence_of)
        self.bounds = Bounds(
            max_events=options.max_events, max_bytes=options.max_bytes, max_event_bytes=max_event_bytes
        )
        self._workshop = Workshop(
            desk=self.desk,
            index=self.index,
            bounds=self.bounds,
            cleanup_timeout=options.cleanup_timeout,
            on_end=self._forget,
        )
        self.index.on_change = self._heed
        self.index.on_loss = self._announce_again

    async def open(self) -> None:
        """Read which runs there are, and give a first sign of life.

        Raises:
            LogUnavailable: that cannot be done now.
        """
        await self.index.open()
        try:
            await self._lease.open()
        except BaseException:
            await self.index.close()
            raise
        self.spawn(self._sweep())

    async def close(self) -> None:
        """Start nothing more, end what is running, and leave the rest to others."""
        self.is_closing = True
        try:
            await self._end_all()
        finally:
            await self._let_go()

    async def _end_all(self) -> None:
        if self._starts:
            await asyncio.wait(self._starts, timeout=CLOSE_PATIENCE)
        self.is_over = True
        for presence in self._presences():
            presence.stop()
        await self._wait_for_productions(self.options.shutdown_grace)
        for production in tuple(self._productions.values()):
            production.stop(self._last_status(production.record))
        await self._wait_for_productions(self.options.cleanup_timeout + CLOSE_PATIENCE)

    async def _let_go(self) -> None:
        self.is_over = True
        left = [task for task in self._tasks if not task.done()]
        left += [production.task for production in self._productions.values() if production.task is not None]
        for task in left:
            task.cancel()
        if left:
            await asyncio.wait(left, timeout=CLOSE_PATIENCE)
        await self.readers.close()
        await self.index.close()
        await self._lease.close()
        self.is_closed = True

    def spawn(self, work: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        """Have a task do something, that ends at the latest when this is closed."""
        task = asyncio.get_running_loop().create_task(work, name="unbroken runs", context=Context())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    def spawn_start(self, work: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        """Have a run begin, whether somebody waits for that or not."""
        task = self.spawn(work)
        self._starts.add(task)
        task.add_done_callback(self._starts.discard)
        task.add_done_callback(_retrieve)
        return task

    def launch(self, record: Record, plan: Plan) -> Run:
        """Begin to produce a run that this process has."""
        production = Production(self._workshop, record, plan)
        run = Run(self.access, record.run, production)
        self._productions[record.run] = production
        self.starting.discard(record.run)
        if production.presence is not None and self.readers.has(record.run):
            production.presence.come(self.process)
        production.begin(run)
        self._heed(self.index.get(record.run) or record)  # it may have been cancelled meanwhile
        return run

    async def cancel(self, record: Record) -> None:
        """Cancel a run, wherever it is.

        Raises:
            LogUnavailable: who has it, or who would begin it anew, cannot be told now.
        """
        production = self._productions.get(record.run)
        is_here = production is not None and record.is_attempt(production.record)
        if production is not None and is_here:
            production.stop(RunStatus.CANCELLED)
        if not is_here or record.on_orphan == "restart":
            await self.index.request_cancel(record)

    # How it goes.

    def _heed(self, record: Record) -> None:
        """Stop a production that was cancelled, or that another process has taken over."""
        production = self._productions.get(record.run)
        if production is None or production.has_ended or record.epoch != production.record.epoch:
            return
        if not record.is_running or record.fence != production.record.fence:
            production.stop(None)
        elif record.cancelled:
            production.stop(RunStatus.CANCELLED)

    def _announce_again(self) -> None:
        for production in self._productions.values():
            self.spawn(self._announce(production.record))

    async def _announce(self, record: Record) -> None:
        try:
            await self.index.write(record)
        except LogUnavailable as exc:
            logger.error("run %r cannot be announced again: %s", record.run, exc)

    def _forget(self, production: Production) -> None:
        if self._productions.get(production.record.run) is production:
            del self._productions[production.record.run]
        self.readers.tell_again(production.record.run)  # another process may have it now
        if self.options.compact and not self.is_closing:
            self.spawn(_tried(production.compact()))

    def _presence_of(self, run: str) -> Presence | None:
        production = self._productions.get(run)
        return None if production is None else production.presence

    def _last_status(self, record: Record) -> RunStatus | None:
        """Return how a run ends with this process; None if another one, or the next, begins it anew."""
        guarantees = self.desk.log.guarantees
        goes_on = record.on_orphan == "restart" and guarantees.survives_process
        return None if goes_on and record.attempt < record.max_attempts else RunStatus.INTERRUPTED

    async def _wait_for_productions(self, timeout: float) -> None:
        tasks = [production.task for production in self._productions.values() if production.task is not None]
        if tasks and timeout > 0:
            await asyncio.wait(tasks, timeout=timeout)

    async def _read_plan(self, record: Record) -> Plan | None:
        """Return how an orphan is begun anew; None if that is not known, or not here."""
        producer = self._registry.get(record.producer)
        return None if producer is None else await find_plan(self.desk, record, producer)

    # What is looked after.

    async def _sweep(self) -> None:
        while True:
            await asyncio.sleep(self.options.lease / 3 * random.uniform(0.8, 1.2))  # noqa: S311 - no secret
            await _tried(self._sweep_once())

    async def _sweep_once(self) -> None:
        self.index.forget_old()
        if not self._lease.is_fresh:
            self._leases.look_away()
            return
        running = self.index.running
        watchers = {process for presence in self._presences() for process in presence.processes}
        await self._leases.look(({record.process for record in running} | watchers) - {self.process})
        for presence in self._presences():
            for process in tuple(presence.processes - {self.process}):
                if self._leases.is_dead(process):
                    presence.go(process)
        await asyncio.gather(*(production.keep() for production in self._productions.values()))
        if not self.is_closing:  # or it would begin anew what it has just let go
            await self._adopt([record for record in running if self._is_orphan(record)])

    def _presences(self) -> list[Presence]:
        presences = (production.presence for production in self._productions.values())
        return [presence for presence in presences if presence is not None]

    def _is_orphan(self, record: Record) -> bool:
        if record.process == self.process:
            # Its last word could not be said: the log was out of reach for too long.
            return record.run not in self._productions and record.run not in self.starting
        return self._leases.is_dead(record.process)

    async def _adopt(self, records: list[Record]) -> None:
        random.shuffle(records)  # each process begins with others
        for first in range(0, len(records), AT_ONCE):
            await asyncio.gather(
                *(
                    _tried(self._orphans.adopt(record, self._is_early(record)))
                    for record in records[first : first + AT_ONCE]
                )
            )

    def _is_early(self, record: Record) -> bool:
        return self._leases.dead_for(record.process) < FOR_OTHERS * self.options.lease


def _retrieve(task: asyncio.Task[Any]) -> None:
    if not task.cancelled():
        task.exception()


async def _tried(step: Awaitable[None]) -> None:
    """Do something that is done again later if the log is out of reach."""
    try:
        await step
    except LogUnavailable as exc:
        logger.debug("runs are not looked after now: %s", exc)
    except Exception:  # noqa: BLE001 - or one run that cannot be looked after would leave all others alone
        logger.exception("a run could not be looked after")
