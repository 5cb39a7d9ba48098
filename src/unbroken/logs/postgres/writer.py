"""Who appends: groups of batches, in the order in which they came."""

from __future__ import annotations

import asyncio
import math
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass

from unbroken.errors import LogUnavailable
from unbroken.logs.contract import Appended
from unbroken.logs.postgres.batch import Batch
from unbroken.logs.postgres.lane import Lane, Outcome
from unbroken.logs.postgres.place import Place

__all__ = ["Writer"]

GROUP = 200
"""Batches of one transaction at most: they share one wait for the disk, and wait for each other."""

GROUP_BYTES = 4 * 1024 * 1024
"""Payload of one transaction, about."""

FIRST_REST, LONGEST_REST = 0.001, 0.02
"""Seconds after which a topic that is held is tried again: a quarter of what it has been held for, within these."""

QUEUE_AFTER = 0.05
"""Seconds after which it is queued up for, too."""

REMEMBERED = 1.0
"""Seconds for which it is known that a topic was held, when nobody waits for it any more: who goes asks why."""


@dataclass(frozen=True, slots=True)
class _Job:
    batch: Batch
    future: asyncio.Future[Appended]


@dataclass(frozen=True, slots=True)
class _Rest:
    """Of a topic that some transaction holds."""

    since: float
    until: float
    """When it is tried again."""
    queued: float = 0.0
    """When it was queued up for last."""


class Writer:
    """Appends what it is given through two connections. To be used on the event loop on which it was made.

    One lane takes whatever is there, and never waits for a lock: a topic that some transaction holds is left out, and
    tried again soon, with all that has come for it meanwhile. So an application that keeps a transaction open holds up
    the topics it has published to, and no others. At a topic that others queue up for it may never find it free:
    so the other lane queues up for those that are held for long, a moment for each in turn.
    """

    def __init__(self, place: Place, told: Callable[[Batch, Appended], None]) -> None:
        self._place = place
        self._told = told
        self._loop = asyncio.get_running_loop()
        # No bound of its own: whatever waits here is a caller that waits.
        self._queues: dict[str, deque[_Job]] = {}
        self._resting: dict[str, _Rest] = {}
        self._queued_for: str | None = None
        self._come, self._come_held = asyncio.Event(), asyncio.Event()
        self._open: set[asyncio.Future[Appended]] = set()
        self._quick, self._patient = Lane(place), Lane(place)
        self._tasks: list[asyncio.Task[None]] = []

    async def start(self) -> None:
        """Open the connection that is always needed.

        Raises:
            LogUnavailable: it cannot be opened.
        """
        try:
            await self._quick.open()
        except BaseException:
            self._quick.terminate()
            raise
        lanes = (self._run(self._quick, self._append_due), self._run(self._patient, self._append_held))
        self._tasks = [self._loop.create_task(lane, name="unbroken postgres writer") for lane in lanes]

    def submit(self, batch: Batch) -> asyncio.Future[Appended]:
        """Have a batch appended. Once it is on its way, to cancel the future does not stop it."""
        future: asyncio.Future[Appended] = self._loop.create_future()
        self._open.add(future)
        future.add_done_callback(self._open.discard)
        self._queues.setdefault(batch.topic, deque()).append(_Job(batch, future))
        self._come.set()
        return future

    def is_held(self, topic: str) -> bool:
        """Say whether some transaction held the topic when it was tried last."""
        return topic in self._resting

    async def stop(self) -> None:
        """Finish what was begun, as far as the timeout allows, and close the connections."""
        if self._open:
            await asyncio.wait(tuple(self._open), timeout=self._place.timeout)
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)
        for future in tuple(self._open):
            if not future.done():
                future.set_exception(LogUnavailable(f"{self._place} was closed while this was being appended"))

    async def _run(self, lane: Lane, turn: Callable[[], Awaitable[None]]) -> None:
        try:
            while True:
                try:
                    await turn()
                except Exception as exc:  # noqa: BLE001 # a listener's: the others wait to be appended
                    self._loop.call_exception_handler({"message": "a listener failed", "exception": exc})
        finally:
            lane.terminate()

    # The lane that never waits.

    async def _append_due(self) -> None:
        await self._until_due()
        topics = self._take_due()
        if topics:
            await self._append(self._quick, topics, wait=False)

    async def _until_due(self) -> None:
        """Wait until there is a topic that may be tried."""
        self._forget_rests()
        due = min(map(self._due, self._queues), default=None)
        if due is not None and due <= self._loop.time():
            return
        self._come.clear()
        with suppress(TimeoutError):
            async with asyncio.timeout_at(None if due == math.inf else due):
                await self._come.wait()

    def _forget_rests(self) -> None:
        """Forget those whose callers have all gone."""
        before = self._loop.time() - REMEMBERED
        gone = [topic for topic, rest in self._resting.items() if rest.until < before and topic not in self._queues]
        for topic in gone:
            del self._resting[topic]

    def _due(self, topic: str) -> float:
        if topic == self._queued_for:
            return math.inf
        return self._resting[topic].until if topic in self._resting else 0.0

    def _take_due(self) -> list[list[_Job]]:
        topics, count, size, now = list[list[_Job]](), 0, 0, self._loop.time()
        for topic in [topic for topic in self._queues if self._due(topic) <= now]:
            taken, bytes_taken = self._take(topic, GROUP - count, GROUP_BYTES - size)
            if taken:
                topics.append(taken)
            count, size = count + len(taken), size + bytes_taken
            if count >= GROUP or size >= GROUP_BYTES:
                break
        return topics

    # The lane that queues up.

    async def _append_held(self) -> None:
        await self._come_held.wait()
        before = self._loop.time() - QUEUE_AFTER
        held = [topic for topic, rest in self._resting.items() if rest.since < before and topic in self._queues]
        if not held:
            self._come_held.clear()
            return
        topic = min(held, key=lambda topic: self._resting[topic].queued)
        self._queued_for = topic
        try:
            taken, _ = self._take(topic, GROUP, GROUP_BYTES)
            if taken:
                await self._append(self._patient, [taken], wait=True)
        finally:
            self._queued_for = None
            self._come.set()

    # Both.

    def _take(self, topic: str, count: int, size: int) -> tuple[list[_Job], int]:
        """Take the first of a topic's jobs, leaving out those that were cancelled, and return them with their bytes."""
        queue, taken, bytes_taken = self._queues[topic], list[_Job](), 0
        while queue and len(taken) < count and bytes_taken < size:
            job = queue.popleft()
            if not job.future.done():
                taken.append(job)
                bytes_taken += job.batch.size
        if not queue:
            del self._queues[topic]
        return taken, bytes_taken

    async def _append(self, lane: Lane, topics: Sequence[Sequence[_Job]], *, wait: bool) -> None:
        """Append, and answer those who wait; but for those whose topic is held."""
        outcomes = await lane.append([[job.batch for job in some] for some in topics], wait=wait)
        done = tuple(zip((job for some in topics for job in some), outcomes, strict=True))
        self._put_back(topics, [job for job, outcome in done if outcome is None], queued=wait)
        for job, outcome in done:
            _settle(job.future, outcome)
        for job, outcome in done:
            if isinstance(outcome, Appended) and not outcome.duplicate:
                self._told(job.batch, outcome)

    def _put_back(self, topics: Sequence[Sequence[_Job]], held: Sequence[_Job], *, queued: bool) -> None:
        """Let the held ones of these topics rest, with their jobs before what has come meanwhile."""
        now = self._loop.time()
        before = {some[0].batch.topic: self._resting.pop(some[0].batch.topic, None) for some in topics}
        for job in reversed(held):
            topic = job.batch.topic
            rest = before[topic] or _Rest(now, now)
            until = now + min(max((now - rest.since) / 4, FIRST_REST), LONGEST_REST)
            self._resting[topic] = _Rest(rest.since, until, now if queued else rest.queued)
            self._queues.setdefault(topic, deque()).appendleft(job)
        if held:
            self._come_held.set()


def _settle(future: asyncio.Future[Appended], outcome: Outcome) -> None:
    if future.done():  # cancelled, while we were at it
        return
    if isinstance(outcome, Appended):
        future.set_result(outcome)
    elif outcome is not None:
        future.set_exception(outcome)
