"""One topic as this process sees it: where it stands, its newest events, and who follows it."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Sequence
from contextvars import Context
from typing import Protocol

from unbroken.errors import LogUnavailable
from unbroken.hub.counters import Counters
from unbroken.hub.event import Event
from unbroken.hub.gap import find_gap
from unbroken.hub.reach import Reach
from unbroken.logs import Entry, Log, Page, Position

__all__ = ["Follower", "Topic"]

RING_EVENTS = 256
RING_BYTES = 1024 * 1024
"""The newest events of a topic that are kept at hand, encoded: readers that come back a moment later ask no log."""

PAGE_EVENTS = 256
RETRY_INTERVAL = 1.0
"""Seconds between two looks at a log that is away, give or take half: not all processes ask at once."""


class Follower(Protocol):
    """Who is told of a topic's events, in plain calls."""

    def on_events(self, topic: Topic, events: Sequence[Event]) -> None:
        """Events have come behind all that was told before."""
        ...

    def on_break(self, topic: Topic) -> None:
        """What comes next does not follow on what was told, or nothing comes any more: look at the log."""
        ...


class Topic:
    """A mirror of a topic's end. To be used on the hub's loop only.

    It never skips: an entry that does not follow on what it has makes it read the log. Where
    the log's history does not follow either, everyone who is live is sent to the log, where
    each finds its own gap; so there is one place where gaps are found.
    """

    __slots__ = ("_counters", "_doubtful", "_filling", "_log", "_reach", "_reading", "_ring", "_ring_bytes", "closed",
                 "followers", "name", "position", "users")  # fmt: skip

    def __init__(self, name: str, log: Log, counters: Counters, reach: Reach) -> None:
        self.name = name
        self._log = log
        self._counters = counters
        self._reach = reach
        self.position: Position = Position("", 0, "")
        self.closed = False
        self.followers: set[Follower] = set()
        self.users = 0
        self._ring: list[Event] = []
        self._ring_bytes = 0
        self._doubtful = False
        self._filling: asyncio.Task[None] | None = None
        self._reading: dict[tuple[int, int], asyncio.Task[tuple[Page, Sequence[Event]]]] = {}

    async def open(self) -> None:
        """Begin to follow the log.

        Raises:
            LogUnavailable: the log cannot be read now.
        """
        await self._log.watch(self.name)  # before the look: what comes after it will be told
        head = await self._log.head(self.name)
        page = await self._log.read(self.name, max(0, head.seq - RING_EVENTS), PAGE_EVENTS)
        self._reset(page)
        for entry in page.entries:
            self._keep(Event.of(self.name, page.head.epoch, entry))
        while self.position.seq < page.head.seq and not await self._read_on():
            pass  # a log ends its pages by their bytes, too; who begins now must begin at the end
        if self._doubtful:
            self.doubt()

    async def close(self) -> None:
        """Follow the log no more."""
        if self._filling is not None:
            self._filling.cancel()
        await self._log.unwatch(self.name)

    # What the log tells.

    def on_entries(self, epoch: str, entries: Sequence[Entry], closed: bool) -> None:
        """Take what follows; anything else is looked up."""
        if not self.position.epoch:  # still opening
            self._doubtful = True
            return
        self._take(epoch, entries)
        if closed or (entries and not self._has(epoch, entries[-1])):
            self.doubt()

    def doubt(self) -> None:
        """Read the log: something may have been missed."""
        self._counters.fills += 1
        self.look()

    def look(self) -> None:
        """Read the log, whether something is missing or not."""
        self._doubtful = True
        if self._filling is None and self.position.epoch:
            task = asyncio.get_running_loop().create_task(self._fill(), name="unbroken topic", context=Context())
            self._filling = None if task.done() else task  # an eager one may have come to its end in that line

    async def refresh(self) -> None:
        """Look at the log now, and wait until what is there has been taken."""
        self.look()
        if self._filling is not None:
            await asyncio.wait((self._filling,))

    # What readers ask.

    def since(self, position: Position, limit: int) -> Sequence[Event] | None:
        """Return up to `limit` events behind `position` if they are at hand, else None: then ask the log."""
        if position == self.position:
            return ()
        ring = self._ring
        if not ring or position.epoch != self.position.epoch:
            return None
        at = position.seq + 1 - ring[0].position.seq
        if not 0 <= at < len(ring) or ring[at].previous != position.tag:
            return None
        return ring[at : at + limit]

    async def page(self, after: int, limit: int) -> tuple[Page, Sequence[Event]]:
        """Return a page of the log, and its events; those who ask for the same one meanwhile share it.

        A thousand readers who come back at once, or fell behind together, so cost the log one page. Nothing is kept:
        whoever asks a moment later is answered by the log as it is then.

        It comes to its end by the log's own deadline, whoever waits for it: to cancel it would cancel those.

        Raises:
            LogUnavailable: the log cannot be read now.
        """
        asked = (after, limit)
        task = self._reading.get(asked)
        if task is None:
            # In a context of its own: the first of those who share it may leave.
            task = asyncio.get_running_loop().create_task(self._page(*asked), name="unbroken topic", context=Context())
            if not task.done():
                self._reading[asked] = task
                task.add_done_callback(lambda done: self._note_read(asked, done))
        return await asyncio.shield(task)

    # How it stays true.

    async def _page(self, after: int, limit: int) -> tuple[Page, Sequence[Event]]:
        page = await self._log.read(self.name, after, limit)
        return page, [Event.of(self.name, page.head.epoch, entry) for entry in page.entries]

    def _note_read(self, asked: tuple[int, int], task: asyncio.Task[tuple[Page, Sequence[Event]]]) -> None:
        del self._reading[asked]
        if not task.cancelled():
            task.exception()  # those who waited may all have left

    def _take(self, epoch: str, entries: Sequence[Entry]) -> None:
        """Append what follows, and tell of it."""
        fresh = []
        for entry in entries:
            if self._is_next(epoch, entry):
                fresh.append(event := Event.of(self.name, epoch, entry))
                self._keep(event)
            elif not self._has(epoch, entry):
                break
        if fresh:
            for follower in tuple(self.followers):  # one may leave because of what it is told
                follower.on_events(self, fresh)

    def _is_next(self, epoch: str, entry: Entry) -> bool:
        position = self.position
        return epoch == position.epoch and entry.seq == position.seq + 1 and entry.previous == position.tag

    def _has(self, epoch: str, entry: Entry) -> bool:
        """Whether this very entry was taken; of one that is no longer at hand that cannot be said."""
        ring = self._ring
        at = entry.seq - ring[0].position.seq if ring else -1
        return 0 <= at < len(ring) and ring[at].position == Position(epoch, entry.seq, entry.tag)

    def _keep(self, event: Event) -> None:
        self.position = event.position
        self._ring.append(event)
        self._ring_bytes += len(event.payload)
        # In chunks: taking the first of a list moves all others.
        if len(self._ring) >= 2 * RING_EVENTS or self._ring_bytes > 2 * RING_BYTES:
            self._shorten()

    def _shorten(self) -> None:
        kept, size = 0, 0
        for event in reversed(self._ring[-RING_EVENTS:]):
            size += len(event.payload)
            if size > RING_BYTES and kept:
                break
            kept += 1
        del self._ring[: len(self._ring) - kept]
        self._ring_bytes = sum(len(event.payload) for event in self._ring)

    def _forget_before(self, seq: int) -> None:
        """Drop what the log no longer has: what was trimmed is not to be read here either."""
        if self._ring and self._ring[0].position.seq < seq:
            del self._ring[: seq - self._ring[0].position.seq]
            self._ring_bytes = sum(len(event.payload) for event in self._ring)

    async def _fill(self) -> None:
        """Read the log until nothing is in doubt."""
        try:
            while self._doubtful:
                self._doubtful = False
                try:
                    while not await self._read_on():
                        pass
                    self._reach.regain()
                except LogUnavailable as exc:
                    self._doubtful = True
                    self._reach.lose(str(exc))
                    await asyncio.sleep(RETRY_INTERVAL * random.uniform(0.5, 1.5))  # noqa: S311 - no secret
        finally:
            self._filling = None

    async def _read_on(self) -> bool:
        """Take one page, and say whether it was the last."""
        before = self.position
        page = await self._log.read(self.name, before.seq, PAGE_EVENTS)
        if find_gap(self.name, before, page) is not None:
            # Asked of the position before the page was read: meanwhile more may have been told.
            self._counters.breaks += 1
            self._reset(page, at_head=True)
            self._break()
            return True
        self._forget_before(page.head.first_seq)
        self._take(page.head.epoch, page.entries)
        if page.head.closed and not self.closed and self.position.seq >= page.head.seq:
            self.closed = True
            self._break()
        return not page.entries or page.entries[-1].seq >= page.head.seq

    def _reset(self, page: Page, *, at_head: bool = False) -> None:
        """Begin anew where the log is; with a page that is to be kept, before it."""
        self._ring.clear()
        self._ring_bytes = 0
        head = page.head
        self.closed = head.closed
        first = None if at_head or not page.entries else page.entries[0]
        self.position = head.position if first is None else Position(head.epoch, first.seq - 1, first.previous)

    def _break(self) -> None:
        for follower in tuple(self.followers):
            follower.on_break(self)
