"""Pages: the head of a topic from the stream's leader, and the records before it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import replace

from unbroken.logs.contract import Entry, Page
from unbroken.logs.nats.heads import Heads, Known
from unbroken.logs.nats.jetstream import JetStream, Stored
from unbroken.logs.nats.link import Link
from unbroken.logs.nats.record import Record
from unbroken.logs.nats.subjects import Subjects

__all__ = ["Reader"]

PAGE_BYTES = 1024 * 1024
"""Payload after which a page ends."""

NEAR = 256
"""Entries that are rather read past than searched for."""

RECORDS = 256
"""Records that are asked for at once, at most."""

BEHIND_INTERVAL = 0.02
"""Seconds until a replica that was behind is asked again, or another."""


class Behind(Exception):  # noqa: N818 # never leaves this package
    """A replica does not have yet what the leader has, or it was trimmed since the leader was asked."""


class Reader:
    """Reads topics. Its callers set the deadlines."""

    def __init__(self, link: Link, heads: Heads, subjects: Subjects) -> None:
        self._link = link
        self._heads = heads
        self._subjects = subjects

    async def known(self, topic: str) -> Known:
        """Ask the leader for the head.

        Raises:
            LogUnavailable: it does not say.
        """
        jetstream = await self._link.jetstream()
        stored = await jetstream.last(self._subjects.topic(topic))
        known = Known() if stored is None else Known.of(_decoded(stored))
        self._heads.take(topic, known)
        return known

    async def page(self, topic: str, after: int, limit: int) -> Page | None:
        """Read a page; None if there is no such topic.

        Raises:
            LogUnavailable: it cannot be read.
        """
        before: Known | None = None
        while (known := await self.known(topic)).state is not None:
            try:
                # A head that is the same the second time has nothing where its oldest entries were: they are gone.
                again = before is not None and before.place == known.place
                page = await self._page(topic, known, after, limit, holes=again)
                if page is not None:
                    return page
            except Behind:
                await asyncio.sleep(BEHIND_INTERVAL)
            before = known
        return None

    async def between(self, topic: str, known: Known, after: int, last: int) -> tuple[Entry, ...]:
        """Read the entries of an earlier append that are still retained."""
        if known.state is None or last < known.state.first:
            return ()
        page = await self._page(topic, known, after, last - after, holes=True, bound=None)
        return () if page is None else page.entries

    async def records(self, topic: str, known: Known, after: int, count: int) -> AsyncGenerator[Record, None]:
        """Read the records that have entries behind `after`, without the parts.

        As many are asked for at first as `count` entries may take, then more and more at once.

        Raises:
            Behind: a replica does not have them.
        """
        record = known.record
        if record is None or record.state.seq <= after:
            return
        if not record.lines or record.before > after:
            async for earlier in self._earlier(topic, known, after, count):
                yield earlier
        if record.lines:
            yield record

    async def filled(self, topic: str, record: Record) -> Record:
        """Return the record with its payloads.

        Raises:
            Behind: a replica does not have them.
        """
        if not record.parts:
            return record
        jetstream, parts, place = await self._link.jetstream(), list[bytes](), record.place - record.parts
        while place < record.place:
            stored = await jetstream.several(self._subjects.part(topic), place, record.place - place)
            if not stored or stored[0].place != place:
                raise Behind
            parts += [part.data for part in stored if part.place < record.place]
            place = stored[-1].place + 1
        return record.filled(parts)

    async def _page(
        self, topic: str, known: Known, after: int, limit: int, *, holes: bool, bound: int | None = PAGE_BYTES
    ) -> Page | None:
        """Read the entries behind `after`; None if they do not follow on it, unless `holes` are to be passed."""
        assert known.state is not None
        head, entries, size = known.state.head, list[Entry](), 0
        first = wanted = max(after + 1, head.first_seq)
        if limit <= 0 or first > head.seq:
            return Page(head, ())
        async with aclosing(self._entries(topic, known, first - 1, limit)) as found:
            async for entry in found:
                if entry.seq != first + len(entries):
                    if entries or not holes:
                        break  # the next page begins behind the hole
                    first = entry.seq
                entries.append(entry)
                size += len(entry.payload)
                if len(entries) == limit or (bound is not None and size >= bound):
                    break
        if not entries:  # they were trimmed since the head was asked for, or purged by somebody
            if not holes:
                return None
            first = head.seq + 1
        return Page(head if first == wanted else replace(head, first_seq=first), tuple(entries))

    async def _entries(self, topic: str, known: Known, after: int, count: int) -> AsyncGenerator[Entry, None]:
        assert known.state is not None
        async with aclosing(self.records(topic, known, after, count)) as records:
            async for record in records:
                if record.state.epoch != known.state.epoch:
                    raise Behind
                for entry in (await self.filled(topic, record)).entries():
                    if entry.seq > after:
                        yield entry

    async def _earlier(self, topic: str, known: Known, after: int, count: int) -> AsyncGenerator[Record, None]:
        """Read from the record that has what follows `after` to the one before the head."""
        jetstream = await self._link.jetstream()
        place, lines = await self._find(jetstream, topic, known, after)
        count = min(count // lines + 1, RECORDS)
        while True:
            stored = await jetstream.several(self._subjects.topic(topic), place, count)
            if not stored:
                raise Behind
            for message in stored:
                if message.place >= known.place:
                    return
                record = _decoded(message)
                if record.lines and record.state.seq > after:
                    yield record
            place, count = stored[-1].place + 1, min(4 * count, RECORDS)

    async def _find(self, jetstream: JetStream, topic: str, known: Known, after: int) -> tuple[int, int]:
        """Return a place from which on there is what follows `after`, with little before it.

        And how many entries a record has there, as far as one was seen.

        Places grow with `seq`, but other topics are in between: so it is searched, within what is known.
        """
        assert known.state is not None
        low, high, lines = 1, known.place, 1
        begin, end, by_halves = 0, known.state.seq, True
        guess = low  # often it is the first that is retained
        while low < high:
            stored = await jetstream.several(self._subjects.topic(topic), guess, 1)
            if not stored:
                raise Behind
            record = _decoded(stored[0])
            lines = max(1, len(record.lines))
            if record.state.seq <= after:
                low, begin = record.place + 1, record.state.seq
                if after - record.state.seq <= NEAR:
                    break
            elif (record.lines and record.before <= after) or guess == low:
                return record.place, lines
            else:
                high, end = guess, record.before
            # Where records are alike, their share leads there at once; where they are not, every other step halves.
            by_halves = not by_halves
            guess = (low + high) // 2 if by_halves else low + (high - low) * (after - begin) // (end - begin)
        return low, lines


def _decoded(stored: Stored) -> Record:
    return Record.decode(stored.data, stored.place)
