"""Who appends: groups of batches, in the order in which they came."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Iterable, Sequence
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

PATIENT_LANES = 2


@dataclass(frozen=True, slots=True)
class _Job:
    batch: Batch
    future: asyncio.Future[Appended]


class Writer:
    """Appends what it is given through a few connections. To be used on the event loop on which it was made.

    One lane takes whatever is there, and never waits for a lock: a topic that some transaction holds is left to the
    patient lanes, with all that comes for it meanwhile. So an application that keeps a transaction open holds up the
    topics it has published to, and no others; and no transaction of ours ever waits while another waits for it.
    """

    def __init__(self, place: Place, told: Callable[[Batch, Appended], None]) -> None:
        self._place = place
        self._told = told
        self._loop = asyncio.get_running_loop()
        # No bound of their own: whatever waits here is a caller that waits.
        self._fresh: dict[str, deque[_Job]] = {}
        self._held: dict[str, deque[_Job]] = {}
        self._waited_for: set[str] = set()
        self._come, self._come_held = asyncio.Event(), asyncio.Event()
        self._open: set[asyncio.Future[Appended]] = set()
        self._quick = Lane(place)
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
        lanes = [self._run(self._quick, self._append_fresh)]
        lanes += [self._run(Lane(self._place), self._append_held) for _ in range(PATIENT_LANES)]
        self._tasks = [self._loop.create_task(lane, name="unbroken postgres writer") for lane in lanes]

    def submit(self, batch: Batch) -> asyncio.Future[Appended]:
        """Have a batch appended. Once it is on its way, to cancel the future does not stop it."""
        future: asyncio.Future[Appended] = self._loop.create_future()
        self._open.add(future)
        future.add_done_callback(self._open.discard)
        is_held = batch.topic in self._held or batch.topic in self._waited_for
        (self._held if is_held else self._fresh).setdefault(batch.topic, deque()).append(_Job(batch, future))
        (self._come_held if is_held else self._come).set()
        return future

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

    async def _run(self, lane: Lane, turn: Callable[[Lane], Awaitable[None]]) -> None:
        try:
            while True:
                try:
                    await turn(lane)
                except Exception as exc:  # noqa: BLE001 # a listener's: the others wait to be appended
                    self._loop.call_exception_handler({"message": "a listener failed", "exception": exc})
        finally:
            lane.terminate()

    # The lane that never waits.

    async def _append_fresh(self, lane: Lane) -> None:
        await self._come.wait()
        topics = self._take_fresh()
        if not topics:
            self._come.clear()
            return
        done = await self._append(lane, topics, wait=False)
        for job, outcome in done:
            if outcome is None:
                self._held.setdefault(job.batch.topic, deque()).append(job)
        for topic in self._held.keys() & self._fresh.keys():
            self._held[topic] += self._fresh.pop(topic)  # what has come behind it
        if self._held:
            self._come_held.set()
        self._tell(done)

    def _take_fresh(self) -> list[list[_Job]]:
        topics, count, size = list[list[_Job]](), 0, 0
        for topic in tuple(self._fresh):
            taken, bytes_taken = _take(self._fresh, topic, GROUP - count, GROUP_BYTES - size)
            if taken:
                topics.append(taken)
            count, size = count + len(taken), size + bytes_taken
            if count >= GROUP or size >= GROUP_BYTES:
                break
        return topics

    # The lanes that wait.

    async def _append_held(self, lane: Lane) -> None:
        await self._come_held.wait()
        topic = next((topic for topic in self._held if topic not in self._waited_for), None)
        if topic is None:
            self._come_held.clear()
            return
        self._waited_for.add(topic)
        try:
            taken, _ = _take(self._held, topic, GROUP, GROUP_BYTES)
            done = await self._append(lane, [taken], wait=True) if taken else ()
        finally:
            self._waited_for.discard(topic)
            self._release(topic)
        self._tell(done)

    def _release(self, topic: str) -> None:
        """Have what has come for a topic meanwhile taken with all others again."""
        left = self._held.pop(topic, None)
        if left:
            self._fresh[topic] = left
            self._come.set()

    # Both.

    async def _append(
        self, lane: Lane, topics: Sequence[Sequence[_Job]], *, wait: bool
    ) -> Sequence[tuple[_Job, Outcome]]:
        """Append, and answer those who wait; but for those whose topic is held."""
        outcomes = await lane.append([[job.batch for job in some] for some in topics], wait=wait)
        done = tuple(zip((job for some in topics for job in some), outcomes, strict=True))
        for job, outcome in done:
            _settle(job.future, outcome)
        return done

    def _tell(self, done: Iterable[tuple[_Job, Outcome]]) -> None:
        for job, outcome in done:
            if isinstance(outcome, Appended) and not outcome.duplicate:
                self._told(job.batch, outcome)


def _settle(future: asyncio.Future[Appended], outcome: Outcome) -> None:
    if future.done():  # cancelled, while we were at it
        return
    if isinstance(outcome, Appended):
        future.set_result(outcome)
    elif outcome is not None:
        future.set_exception(outcome)


def _take(queues: dict[str, deque[_Job]], topic: str, count: int, size: int) -> tuple[list[_Job], int]:
    """Take the first of a topic's jobs, leaving out those that were cancelled, and return them with their bytes."""
    queue, taken, bytes_taken = queues[topic], list[_Job](), 0
    while queue and len(taken) < count and bytes_taken < size:
        job = queue.popleft()
        if not job.future.done():
            taken.append(job)
            bytes_taken += job.batch.size
    if not queue:
        del queues[topic]
    return taken, bytes_taken
