"""One attempt of a run in the process that has it: its producer's task, and how that ends."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable
from contextvars import Context
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from unbroken.errors import EncodeError, LogError, LogUnavailable, RunEnded
from unbroken.hub.beginning import Beginning
from unbroken.hub.numbering import Numbering
from unbroken.hub.subscription import Subscription
from unbroken.logs import Retention
from unbroken.observe import logger
from unbroken.runs.events import KEEP_ALIVE, end_payload, snapshot_payload
from unbroken.runs.names import CONTROL, DATA
from unbroken.runs.origin import recover
from unbroken.runs.plan import Plan, write_plan
from unbroken.runs.presence import Presence
from unbroken.runs.producing import produce
from unbroken.runs.record import Record, RunStatus
from unbroken.runs.writer import Bounds, Writer

if TYPE_CHECKING:
    from unbroken.hub.engine import Engine
    from unbroken.runs.desk import Desk
    from unbroken.runs.index import Index
    from unbroken.runs.run import Run

__all__ = ["Production", "Workshop"]

COMPACT_AFTER = 30.0
"""Seconds for readers who are behind when a run ends."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Workshop:
    """What all productions of a process share."""

    desk: Desk
    index: Index
    bounds: Bounds
    cleanup_timeout: float
    on_end: Callable[[Production], None]


class Production:
    """Runs a producer, stops it when that is asked, and sees to it that the run ends exactly once."""

    def __init__(self, workshop: Workshop, record: Record, plan: Plan) -> None:
        loop = asyncio.get_running_loop()
        self.record = record
        self._shop = workshop
        self._plan = plan
        self._writer = Writer(
            workshop.desk, record.run, record.fence, record.ttl, plan.bounds(workshop.bounds), plan.coalesce
        )
        self._asked: asyncio.Future[RunStatus | None] = loop.create_future()
        self._snapshot_seq = 0
        self._written_at = self._told_at = loop.time()
        self._finished = False
        self.presence: Presence | None = None
        if plan.patience is not None:
            self.presence = Presence(plan.patience, lambda: self.stop(RunStatus.CANCELLED))
        self.task: asyncio.Task[None] | None = None

    def begin(self, run: Run) -> None:
        """Start the producer. In a context of its own: the request that asked for it may end long before."""
        self.task = asyncio.get_running_loop().create_task(self._live(run), name="unbroken run", context=Context())

    @property
    def has_ended(self) -> bool:
        """Whether its last event is written, or being written; the producer may still have something to do."""
        return self._writer.is_closed

    def stop(self, status: RunStatus | None) -> None:
        """Have the run end so, unless it ends already; None leaves its end to another process."""
        if not self._asked.done():
            self._asked.set_result(status)

    # What the producer does.

    async def send(self, data: object, event: str | None) -> None:
        """Send an event. See `Run.send`."""
        self._written_at = asyncio.get_running_loop().time()
        await self._writer.send(data, event)

    async def flush(self) -> None:
        """Send what waits."""
        await self._writer.flush()

    async def snapshot(self, state: object) -> None:
        """Send a snapshot. See `Run.snapshot`."""
        self._snapshot_seq = await self._writer.append(snapshot_payload(state, self._shop.bounds.max_event_bytes))

    async def finish(self, result: object) -> None:
        """End the run with `done`. See `Run.finish`."""
        if self._writer.is_closed or self._writer.is_taken:
            raise RunEnded(f"run {self.record.run!r} has ended already")
        payload = end_payload(RunStatus.DONE, self.record.attempt, result)
        if len(payload) > self._shop.bounds.max_event_bytes:
            raise EncodeError(
                f"the result has {len(payload)} bytes as an event, and may have {self._shop.bounds.max_event_bytes}: "
                "send it in parts, or say where it is"
            )
        self._writer.check_limit()
        self._writer.raise_failure()
        try:
            await self._writer.close(payload)
        except LogUnavailable:
            self._writer.is_closed = False  # it may be tried again
            raise
        self._finished = True
        await self._say_ended(RunStatus.DONE)

    async def keep(self) -> None:
        """See to it that nothing of a run that goes on for long is taken for old; called regularly."""
        now, silence = asyncio.get_running_loop().time(), self.record.ttl / 2
        if self._asked.done():
            return
        try:
            if now - self._told_at > silence:
                await self._shop.index.write(self.record)
                if self.record.on_orphan == "restart":
                    await write_plan(self._shop.desk, self.record, self._plan)
                self._told_at = now
            if now - self._written_at > silence:
                await self._writer.keep_alive(KEEP_ALIVE)
                self._written_at = now
        except RunEnded:
            self.stop(None)
        except LogError as exc:
            logger.debug("run %r is kept alive later: %s", self.record.run, exc)

    async def compact(self) -> None:
        """Drop all before the newest snapshot, once those who read it to its end have done so.

        Raises:
            LogUnavailable: it cannot be done now.
        """
        if self._snapshot_seq:
            await asyncio.sleep(COMPACT_AFTER)
            topic, engine = DATA + self.record.run, self._shop.desk.engine
            kept = (await engine.log.head(topic)).seq - self._snapshot_seq + 1
            await engine.trim(topic, Retention(max_events=kept, max_age=None, max_bytes=None, forget_after=None))

    # How it goes.

    async def _live(self, run: Run) -> None:
        loop = asyncio.get_running_loop()
        following = loop.create_task(self._follow(), name="unbroken run") if self.presence is not None else None
        work = loop.create_task(self._produce(run), name=f"run {run.id}")
        try:
            await self._end(*await self._outcome(work))
        finally:
            if not work.done():  # it was left behind; or this task was cancelled
                work.add_done_callback(_retrieve)
                work.cancel()
            if following is not None:
                following.cancel()
            if self.presence is not None:
                self.presence.close()
            self._shop.on_end(self)

    async def _produce(self, run: Run) -> None:
        try:
            await produce(run, self._plan.producer, self._plan.args)
        except SystemExit as exc:  # a task that raises it ends the loop, and with it the runs of everybody else
            raise RuntimeError(f"the producer would have ended the process: SystemExit({exc.code!r})") from exc

    async def _outcome(self, work: asyncio.Task[None]) -> tuple[RunStatus | None, str]:
        """Return how the run is to end, once its producer has ended or had its time for that; None: not by us."""
        await asyncio.wait((work, self._asked), timeout=self._plan.timeout, return_when=asyncio.FIRST_COMPLETED)
        if not work.done():
            self.stop(RunStatus.TIMEOUT)
            await self._cancel(work)
            return self._asked.result(), ""
        self.stop(None)  # too late for anybody else
        # Nobody cancelled the run: something that the producer waited for was cancelled.
        return self._judge(asyncio.CancelledError() if work.cancelled() else work.exception())

    async def _cancel(self, work: asyncio.Task[None]) -> None:
        """Cancel the producer, once, and let it clean up."""
        work.cancel()
        await asyncio.wait((work,), timeout=self._shop.cleanup_timeout)
        if not work.done():
            logger.warning(
                "the producer of run %r has not ended %g s after it was cancelled, and is left behind",
                self.record.run,
                self._shop.cleanup_timeout,
            )
        elif not work.cancelled() and (error := work.exception()) is not None and not isinstance(error, RunEnded):
            logger.error("the producer of run %r failed while it was stopped", self.record.run, exc_info=error)

    def _judge(self, error: BaseException | None) -> tuple[RunStatus | None, str]:
        if self._writer.is_taken:
            return None, ""
        if self._writer.is_full:
            logger.warning("run %r has sent more than it may, and ends", self.record.run)
            return RunStatus.ERROR, "limit"
        error = error or self._writer.failure
        if error is None:
            return RunStatus.DONE, ""
        logger.error("the producer of run %r failed", self.record.run, exc_info=error)
        return RunStatus.ERROR, ""

    async def _end(self, status: RunStatus | None, reason: str) -> None:
        if self._finished or status is None:
            self._writer.is_closed = True
            return
        try:
            await self._writer.close(end_payload(status, self.record.attempt, None, reason))
            await self._say_ended(status)
        except RunEnded:
            await self._learn()
        except LogUnavailable as exc:
            logger.error("the end of run %r could not be written, and will be later: %s", self.record.run, exc)

    async def _say_ended(self, status: RunStatus) -> None:
        try:
            await self._shop.index.write(replace(self.record, status=status, ended_at=time.time()))
        except LogUnavailable as exc:
            logger.error("that run %r has ended could not be told, and will be later: %s", self.record.run, exc)

    async def _learn(self) -> None:
        """Find how the run ended: another process did it, or we did, and were cancelled before we heard of it."""
        try:
            found = await recover(self._shop.desk, self.record.run)
            if found is not None and not found.is_running:
                await self._shop.index.write(found)
        except LogUnavailable as exc:
            logger.debug("how run %r ended will be found later: %s", self.record.run, exc)

    async def _follow(self) -> None:
        """Hear which other processes have readers."""
        assert self.presence is not None
        engine = self._shop.desk.engine
        numbering = Numbering((CONTROL + self.record.run,), b"")

        async def opened() -> Engine:
            return engine

        said = Subscription(
            opened,
            numbering,
            Beginning(backlog=None),
            raises=False,
            latest=False,
            passes=lambda event: True,
        )
        async with contextlib.aclosing(said):
            while True:
                try:
                    async for event in said:
                        self.presence.take(event.payload, self.record.process)
                    return
                except LogUnavailable:
                    await asyncio.sleep(1.0)


def _retrieve(task: asyncio.Task[None]) -> None:
    if not task.cancelled():
        task.exception()
