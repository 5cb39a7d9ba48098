"""Appends to one topic, one group after the other: so that a process never races with itself."""

from __future__ import annotations

import asyncio
import random
import time
from collections import deque
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import replace
from typing import Any, Generic, TypeVar

from unbroken.errors import ConfigurationError, LogError, LogUnavailable
from unbroken.logs.contract import Appended, Entry, NewKey
from unbroken.logs.nats.heads import Heads, Known
from unbroken.logs.nats.jetstream import Conflict, Refused, StreamMissing, Write
from unbroken.logs.nats.link import Link
from unbroken.logs.nats.place import Place
from unbroken.logs.nats.plan import MAX_ENTRY_LINE, OVERHEAD_BYTES, Job, Plan
from unbroken.logs.nats.reading import Behind, Reader
from unbroken.logs.nats.record import APPEND, Record, Use, digest_of
from unbroken.logs.nats.subjects import Subjects

__all__ = ["Desk", "Writer"]

T = TypeVar("T")

GROUP = 256
"""Appends of one record at most."""

GROUP_BYTES = 1024 * 1024
"""Payload of one record, about."""

RETRY_DELAY = 0.004
"""Seconds, at random up to so many, after another process was faster; they grow with each time, up to `RETRIES`."""

RETRIES = 5

LEADER_INTERVAL = 0.05
"""Seconds until a stream is asked for again that has no leader now."""

ATTEMPT = 0.4
"""The part of `timeout` after which a write without an answer is looked for, and made again if it is not there."""


class Desk:
    """What all writers of a log share: how a record is stored, surely once."""

    def __init__(self, place: Place, link: Link, heads: Heads, reader: Reader, subjects: Subjects) -> None:
        self.place = place
        self.link = link
        self.heads = heads
        self.reader = reader
        self.subjects = subjects

    async def store(self, topic: str, known: Known, record: Record, writes: Sequence[Write]) -> Known | None:
        """Store a record behind a head, with what belongs to it; None if it is not the head any more.

        Without an answer the same is sent again: it is stored once at most, since it has one place to follow on.

        Raises:
            Refused: the server does not take it.
            LogUnavailable: as long as the deadline let us, it could not be said whether it was stored.
        """
        sent = False
        while True:
            try:
                async with asyncio.timeout(self.place.timeout * ATTEMPT):
                    if sent and not await self._is_head(topic, known):
                        return await self._made(topic, known, record)
                    stored = await (await self.link.jetstream()).store(writes)
                return self._note(topic, replace(record, place=stored))
            except Conflict:
                if not sent:
                    return None
            except StreamMissing:
                if await self.link.repair():
                    return None
                await asyncio.sleep(LEADER_INTERVAL)
            except (Refused, _Unsure):
                raise
            except (LogUnavailable, TimeoutError):
                self.link.doubt()
                await asyncio.sleep(0)  # or others would never have their turn, if it failed at once each time
            sent = True

    async def _is_head(self, topic: str, known: Known) -> bool:
        """Say whether it is the head still. Not by its place: a stream that went back to a copy fills places anew."""
        found = (await self.reader.known(topic)).record
        return (found and found.id) == (known.record and known.record.id)

    async def _made(self, topic: str, known: Known, record: Record) -> Known | None:
        """Return what is known if our record is the one that followed on the head; None if another did.

        Raises:
            _Unsure: what followed was trimmed already.
        """
        jetstream = await self.link.jetstream()
        stored = await jetstream.next(self.subjects.topic(topic), known.place + 1)
        found = None if stored is None else Record.decode(stored.data, stored.place)
        if found is not None and found.id == record.id:
            return self._note(topic, replace(record, place=found.place))
        if found is None or record.kind != APPEND or _follows(found, known):
            return None
        what = f"the answer to an append to {topic!r} was lost, and the topic trimmed since: it may be appended, or not"
        raise _Unsure(str(self.place.unavailable(what)))

    def _note(self, topic: str, record: Record) -> Known:
        known = Known.of(record)
        self.heads.take(topic, known)
        return known


class _Unsure(LogUnavailable):
    """It cannot be said any more whether it was stored."""


def _follows(found: Record, known: Known) -> bool:
    """Say whether nothing was between a head and this record."""
    head, now = known.state, found.state
    if head is None:
        return found.before == 0  # a topic begins with it
    tag, closed = (found.previous, head.closed) if found.lines else (now.tag, now.closed)
    return (now.epoch, found.before, tag, closed) == (head.epoch, head.seq, head.tag, head.closed)


def _keeps(known: Known, earlier: Known) -> bool:
    """Say whether the state has all keys that were used since an earlier head, so that none was stored meanwhile."""
    now, then = known.state, earlier.state
    if now is None or then is None or now.epoch != then.epoch or not then.keys:
        return False
    return now.keys[: len(then.keys)] == then.keys


class Writer:
    """The queue of one topic. Its task lives as long as there is something in it, and belongs to the log."""

    def __init__(self, topic: str, desk: Desk) -> None:
        self._topic = topic
        self._desk = desk
        # No bound of its own: whatever waits here is a caller that waits.
        self._queue: deque[Job | _Work[Any]] = deque()

    def __len__(self) -> int:
        return len(self._queue)

    def submit(self, job: Job) -> None:
        """Have an append made."""
        largest = self._desk.link.max_payload - OVERHEAD_BYTES
        if len(job.drafts) * MAX_ENTRY_LINE > largest:
            raise ConfigurationError(
                f"a batch of {len(job.drafts)} events for topic {self._topic!r} is too long for NATS: give at most "
                f"{largest // MAX_ENTRY_LINE} at once"
            )
        self._queue.append(job)

    def work(self, do: Callable[[], Awaitable[T]]) -> asyncio.Future[T]:
        """Have something else done while nothing is appended by this process."""
        future: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        self._queue.append(_Work(do, future))
        return future

    def fail(self, error: LogUnavailable) -> None:
        """Refuse all that waits."""
        while self._queue:
            _fail(self._queue.popleft().future, error)

    async def run(self) -> None:
        """Do all that waits."""
        while self._queue:
            if isinstance(work := self._queue[0], _Work):
                self._queue.popleft()
                await work.run(self._desk.place.timeout)
            elif jobs := self._take():
                await self._try(jobs)

    def _take(self) -> list[Job]:
        """Take what goes into one record."""
        jobs, size = list[Job](), 0
        largest = (self._desk.link.max_payload - OVERHEAD_BYTES) // MAX_ENTRY_LINE
        entries = 0
        while self._queue and isinstance(job := self._queue[0], Job) and len(jobs) < GROUP:
            size, entries = size + job.size, entries + len(job.drafts)
            if jobs and (size > GROUP_BYTES or entries > largest):
                break
            self._queue.popleft()
            if not job.future.done():  # given up before its turn
                jobs.append(job)
        return jobs

    async def _try(self, jobs: list[Job]) -> None:
        try:
            async with asyncio.timeout_at(max(job.deadline for job in jobs)):
                await self._append(jobs)
        except TimeoutError:
            _fail_all(jobs, self._desk.place.unavailable(f"{self._desk.link.explain()}; it may be appended, or not"))
        except (LogError, ConfigurationError) as error:
            _fail_all(jobs, error)
        except asyncio.CancelledError:
            _fail_all(jobs, self._desk.place.unavailable("the log was stopped; it may be appended, or not"))
            raise
        except Exception as error:  # noqa: BLE001 # whatever it is, those who wait are told
            _fail_all(jobs, self._desk.place.unavailable(f"{error or type(error).__name__}"))

    async def _append(self, jobs: list[Job]) -> None:
        known, tries, plan = self._desk.heads.get(self._topic), 0, None
        while True:
            fresh = known is None
            if known is None:
                known = await self._desk.reader.known(self._topic)
            plan = await self._planned(known, jobs, plan)
            if plan.changes:
                if (written := await self._write(plan)) is not None:
                    await self._answer(plan, written)
                    return
                tries += 1
                await asyncio.sleep(random.uniform(0, RETRY_DELAY * min(tries, RETRIES)))  # noqa: S311 - no secret
            elif fresh:
                await self._answer(plan, known)
                return
            known = self._heard(known)

    def _heard(self, known: Known) -> Known | None:
        """Return the head that was told meanwhile; None if it has to be asked for, which takes twice as long."""
        heard = self._desk.heads.get(self._topic)
        return heard if heard is not None and heard.place > known.place else None

    async def _planned(self, known: Known, jobs: Iterable[Job], last: Plan | None) -> Plan:
        if last is not None and _keeps(known, last.known):
            stored = last.looked_up
        else:
            stored = await self._look_up(known, jobs, first=last is None)
        plan = Plan(self._topic, known, time.time(), stored)
        for job in jobs:
            plan.add(job)
        plan.finish()
        return plan

    async def _look_up(self, known: Known, jobs: Iterable[Job], first: bool) -> dict[str, Use]:
        """Look up the keys that the head does not have; after it, so that what is not found was not used up to it.

        A new key cannot have been used before our own first try: that saves the server a question for most appends.
        """
        if known.state is None or known.state.stored_keys_since is None:
            return {}
        keys = (job.key for job in jobs if job.key is not None)
        digests = {digest_of(key) for key in keys if not (first and isinstance(key, NewKey))}
        uses = await asyncio.gather(*map(self._used, digests - {use.digest for use in known.state.keys}))
        return {use.digest: use for use in uses if use is not None}

    async def _used(self, digest: str) -> Use | None:
        jetstream = await self._desk.link.jetstream()
        stored = await jetstream.last(self._desk.subjects.key(self._topic, digest))
        return None if stored is None else Use.decode(stored.data)

    async def _write(self, plan: Plan) -> Known | None:
        record, parts = plan.record(self._desk.link.max_payload)
        writes = plan.writes(self._desk.subjects, record, parts)
        return await self._desk.store(self._topic, plan.known, record, writes)

    async def _answer(self, plan: Plan, known: Known) -> None:
        for job, result in plan.results:
            job.answer(result)
        for job, use in plan.duplicates:
            entries = await self._retained(known, use)
            job.answer(Appended(use.epoch, entries, use.position, duplicate=True))

    async def _retained(self, known: Known, use: Use) -> tuple[Entry, ...]:
        while True:
            try:
                return await self._desk.reader.between(self._topic, known, use.first - 1, use.seq)
            except Behind:
                known = await self._desk.reader.known(self._topic)


class _Work(Generic[T]):
    """Something that is done between appends."""

    def __init__(self, do: Callable[[], Awaitable[T]], future: asyncio.Future[T]) -> None:
        self._do = do
        self.future = future

    async def run(self, timeout: float) -> None:
        if self.future.done():
            return
        try:
            async with asyncio.timeout(timeout):
                result = await self._do()
        except asyncio.CancelledError:
            _fail(self.future, LogUnavailable("the log was stopped"))
            raise
        except Exception as error:  # noqa: BLE001 # who waits is told
            _fail(self.future, error)
        else:
            if not self.future.done():
                self.future.set_result(result)


def _fail_all(jobs: Iterable[Job], error: Exception) -> None:
    for job in jobs:
        _fail(job.future, error)


def _fail(future: asyncio.Future[Any], error: Exception) -> None:
    if not future.done():
        future.set_exception(error)
