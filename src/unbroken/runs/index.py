"""Which runs there are: a topic of their starts and ends, added up by each process."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable, Sequence
from contextvars import Context
from dataclasses import replace

from unbroken.errors import LogUnavailable
from unbroken.hub.event import Event
from unbroken.hub.gap import GapReason, find_gap
from unbroken.hub.topic import Topic
from unbroken.logs import Page, Position
from unbroken.observe import logger
from unbroken.runs.desk import Desk
from unbroken.runs.names import INDEX
from unbroken.runs.record import Record, read_index, record_of, write_index

__all__ = ["Index"]

PAGE_ENTRIES = 512
RETRY_INTERVAL = 1.0

NOWHERE = Position("", 0, "")


class Index:
    """All runs of all processes, as far as this one has heard. On the hub's loop only."""

    def __init__(self, desk: Desk, ttl: float) -> None:
        self._desk = desk
        self._ttl = ttl
        self._records: dict[str, Record] = {}
        self._running: dict[str, Record] = {}
        """Of those, apart: a start asks for them, and there may be a day's ended ones."""
        self._position = NOWHERE
        self._topic: Topic | None = None
        self._lock = asyncio.Lock()
        self._begun = self._done = 0
        self._is_behind = False
        self._catching_up: asyncio.Task[None] | None = None
        self._waiting: dict[str, set[asyncio.Future[None]]] = {}
        self._unknown: set[str] = set()
        self.on_change: Callable[[Record], None] = _nothing
        """Called with each record that is new or has changed."""
        self.on_loss: Callable[[], None] = _nothing
        """Called when the log has lost the index: who has runs announces them again."""

    # Its life.

    async def open(self) -> None:
        """Read all there is, and follow what comes.

        Raises:
            LogUnavailable: it cannot be read now.
        """
        (self._topic,) = await self._desk.engine.topics.acquire((INDEX,))
        self._topic.followers.add(self)
        await self.refresh()

    async def close(self) -> None:
        """Follow it no more; whoever waits for a run is woken."""
        if self._catching_up is not None:
            self._catching_up.cancel()
            await asyncio.wait((self._catching_up,))
        if self._topic is not None:
            self._topic.followers.discard(self)
            self._desk.engine.topics.release((self._topic,))
            self._topic = None
        for run in tuple(self._waiting):
            self._wake(run)

    # What it says.

    @property
    def running(self) -> list[Record]:
        """The runs that have not ended, oldest first."""
        return sorted(self._running.values(), key=lambda it: it.seq)

    def get(self, run: str) -> Record | None:
        """Return what was heard of a run, if it is not old."""
        record = self._records.get(run)
        return None if record is None or self._is_old(record) else record

    def _is_old(self, record: Record) -> bool:
        return record.ended_at is not None and record.ended_at + record.ttl < time.time()

    def ttl_of(self, run: str) -> float:
        """Return for how many seconds a run is kept; also of one that is old, and whose topics still have to go."""
        record = self._records.get(run)
        return self._ttl if record is None else record.ttl

    async def find(self, run: str) -> Record | None:
        """Return what is known of a run anywhere; the log is asked before it is said that there is none.

        Raises:
            LogUnavailable: it cannot be asked now.
        """
        if run not in self._records:
            await self.refresh()
        return self.get(run)

    async def ended(self, run: str) -> None:
        """Wait until a run has ended, or the index is closed."""
        while self._topic is not None and (record := self._records.get(run)) is not None and record.is_running:
            self._unknown.discard(run)
            waiter = asyncio.get_running_loop().create_future()
            self._waiting.setdefault(run, set()).add(waiter)
            try:
                await waiter
            finally:
                self._forget_waiter(run, waiter)

    # What is said.

    async def write(self, record: Record) -> Record:
        """Tell all processes of a run, and return its record as the index has it.

        Raises:
            LogUnavailable: it cannot be told now.
        """
        await self._say(write_index(record))
        return self._records.get(record.run, record)

    async def request_cancel(self, record: Record) -> None:
        """Ask the process that has a run, whichever it is then, to cancel it.

        Raises:
            LogUnavailable: it cannot be asked now.
        """
        self._fold_cancel(record.run, record.epoch)  # here it holds at once, whether it can be told or not
        said = {"cancel": record.run, "epoch": record.epoch}
        await self._say(json.dumps(said).encode())

    async def _say(self, payload: bytes) -> None:
        appended = await self._desk.append(INDEX, [payload])
        if self._position.epoch != appended.epoch or self._position.seq < appended.position.seq:
            await self.refresh()

    async def ensure(self, record: Record) -> Record:
        """Tell all processes of a run that was found in its own topic, unless they know of it.

        Raises:
            LogUnavailable: it cannot be told now.
        """
        await self.refresh()
        known = self._records.get(record.run)
        return known if known is not None and known.is_as_far_as(record) else await self.write(record)

    def note(self, record: Record) -> None:
        """Take in what was found in a run's own topic, before the index says it."""
        self._fold_record(record)

    def forget_old(self) -> None:
        """Forget runs that ended long ago, as their topics are forgotten; and those that the log has lost."""
        now = time.time()
        for record in list(self._records.values()):
            # Not sooner than the index itself does: how long its topics are kept has to be known while they are there.
            if record.ended_at is not None and record.ended_at + self._ttl < now:
                del self._records[record.run]
        unknown = self._waiting.keys() - self._records.keys()
        for run in unknown & self._unknown:  # who has it would have announced it again since
            self._wake(run)
        self._unknown = unknown

    # How it is read.

    async def refresh(self) -> None:
        """Read on to the end, as it is now; those who ask meanwhile share a read.

        Raises:
            LogUnavailable: it cannot be read now.
        """
        wanted = self._begun + 1
        async with self._lock:
            if self._done >= wanted:
                return  # one that was begun after we asked
            self._begun += 1
            number = self._begun
            await self._read_on()
            self._done = number

    def on_events(self, topic: Topic, events: Sequence[Event]) -> None:
        """Take in what follows; anything else is looked up."""
        for event in events:
            here, position = self._position, event.position
            if (position.epoch, position.seq) == (here.epoch, here.seq + 1) and event.previous == here.tag:
                self._fold(event.payload, position)
            elif position.epoch != here.epoch or position.seq > here.seq:
                self._look()

    def on_break(self, topic: Topic) -> None:
        """Look at the log."""
        self._look()

    def _look(self) -> None:
        self._is_behind = True
        if self._catching_up is None:
            task = asyncio.get_running_loop().create_task(self._catch_up(), name="unbroken runs", context=Context())
            self._catching_up = None if task.done() else task

    async def _catch_up(self) -> None:
        try:
            while self._is_behind:
                self._is_behind = False
                try:
                    await self.refresh()
                except LogUnavailable:
                    self._is_behind = True
                    await asyncio.sleep(RETRY_INTERVAL)
        finally:
            self._catching_up = None

    async def _read_on(self) -> None:
        while True:
            asked = self._position
            page = await self._desk.log.read(INDEX, asked.seq, PAGE_ENTRIES)
            if not self._follows(asked, page):
                self._begin_anew(page)
                continue
            for entry in page.entries:
                if entry.seq > self._position.seq:  # or it was told while the page was on its way
                    self._fold(entry.payload, Position(page.head.epoch, entry.seq, entry.tag))
            if not page.entries and self._position.seq < page.head.seq:
                self._position = page.head.position  # all that was missed is old
            if self._position.seq >= page.head.seq:
                return

    def _follows(self, asked: Position, page: Page) -> bool:
        """Whether the index is still the one that was read; that its beginning was trimmed is no matter."""
        gap = find_gap(INDEX, asked, page)
        return gap is None or gap.reason is GapReason.TRIMMED

    def _begin_anew(self, page: Page) -> None:
        is_lost, self._position = bool(self._position.epoch), Position(page.head.epoch, 0, "")
        if is_lost:
            logger.warning("the log has lost which runs there were; those that are here are announced again")
            self._records.clear()
            self._running.clear()
            self.on_loss()

    # How it adds up.

    def _fold(self, payload: bytes, position: Position) -> None:
        self._position = position
        said = read_index(payload)
        if "cancel" in said:
            self._fold_cancel(said["cancel"], said["epoch"])
        elif "run" in said:  # or it is a word of a later version
            self._fold_record(record_of(said, position.seq))

    def _fold_cancel(self, run: str, epoch: str) -> None:
        record = self._records.get(run)
        if record is not None and record.epoch == epoch and record.is_running and not record.cancelled:
            self._take(replace(record, cancelled=True))

    def _fold_record(self, new: Record) -> None:
        old = self._records.get(new.run)
        if old is None or old.epoch != new.epoch:
            self._take(new)
        elif old.is_running and (new.fence >= old.fence or not new.is_running):
            # Its place in the order is that of its first start.
            self._take(replace(new, seq=old.seq or new.seq, cancelled=old.cancelled))

    def _take(self, record: Record) -> None:
        self._records[record.run] = record
        if record.is_running:
            self._running[record.run] = record
        else:
            self._running.pop(record.run, None)
        self.on_change(record)
        if not record.is_running:
            self._wake(record.run)

    def _wake(self, run: str) -> None:
        for waiter in self._waiting.pop(run, ()):
            if not waiter.done():
                waiter.set_result(None)

    def _forget_waiter(self, run: str, waiter: asyncio.Future[None]) -> None:
        waiters = self._waiting.get(run)
        if waiters is not None:
            waiters.discard(waiter)
            if not waiters:
                del self._waiting[run]


def _nothing(*_: object) -> None:
    """Tell nobody."""
