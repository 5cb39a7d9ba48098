"""A log that writes down all that it is told and tells, beside an engine that cannot be asked afterwards."""

from __future__ import annotations

import json
import os
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path
from typing import Any

from unbroken.logs import Appended, Draft, Entry, Guarantees, Head, Listener, Log, Page, Position, Retention, open_log

from .truth import Fact, Place, Truth

__all__ = ["WitnessLog", "heads_of", "truth_of"]


class WitnessLog:
    """Passes everything on. What it sees is in its file before anybody else sees it, and survives its process."""

    def __init__(self, url: str, folder: Path) -> None:
        self.inner: Log = open_log(url)
        self.guarantees: Guarantees = self.inner.guarantees
        self._folder = folder
        self._seen: set[Place] = set()
        self._heads: dict[str, tuple[str, int]] = {}
        self._listener: Listener | None = None
        self._file = -1

    async def start(self, listener: Listener) -> None:
        self._listener = listener
        if self._file < 0:
            path = self._folder / f"{os.getpid()}.witness"
            self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        await self.inner.start(self)

    async def stop(self) -> None:
        await self.inner.stop()

    async def append(
        self,
        topic: str,
        drafts: Sequence[Draft],
        *,
        key: str | None = None,
        fence: int | None = None,
        close: bool = False,
    ) -> Appended:
        appended = await self.inner.append(topic, drafts, key=key, fence=fence, close=close)
        self._write_down(topic, appended.epoch, appended.entries)
        return appended

    async def read(self, topic: str, after: int, limit: int) -> Page:
        page = await self.inner.read(topic, after, limit)
        self._write_down(topic, page.head.epoch, page.entries)
        self._note_head(topic, page.head)
        return page

    async def head(self, topic: str) -> Head:
        head = await self.inner.head(topic)
        self._note_head(topic, head)
        return head

    async def trim(self, topic: str, retention: Retention) -> int:
        # Read first: what goes would be known to nobody, and be a hole in the chain by which the readers are judged.
        page = await self.inner.read(topic, 0, 100_000)
        while page.entries and page.entries[-1].seq < page.head.seq:
            self._write_down(topic, page.head.epoch, page.entries)
            page = await self.inner.read(topic, page.entries[-1].seq, 100_000)
        self._write_down(topic, page.head.epoch, page.entries)
        gone = await self.inner.trim(topic, retention)
        if gone:
            self._note_head(topic, await self.inner.head(topic))
        return gone

    async def topics(self) -> Sequence[str]:
        return await self.inner.topics()

    async def watch(self, topic: str) -> None:
        await self.inner.watch(topic)

    async def unwatch(self, topic: str) -> None:
        await self.inner.unwatch(topic)

    # What the log tells.

    def on_entries(self, topic: str, epoch: str, entries: Sequence[Entry], closed: bool) -> None:
        self._write_down(topic, epoch, entries)
        assert self._listener is not None
        self._listener.on_entries(topic, epoch, entries, closed)

    def on_doubt(self, topics: Collection[str] | None) -> None:
        assert self._listener is not None
        self._listener.on_doubt(topics)

    def on_trouble(self, why: str | None) -> None:
        assert self._listener is not None
        self._listener.on_trouble(why)

    # What it writes.

    def _write_down(self, topic: str, epoch: str, entries: Sequence[Entry]) -> None:
        rows = list[list[Any]]()
        for entry in entries:
            place = (topic, Position(epoch, entry.seq, entry.tag))
            if place not in self._seen:
                self._seen.add(place)
                payload = entry.payload.decode()
                rows.append(["entry", topic, epoch, entry.seq, entry.tag, entry.previous, entry.appended_at, payload])
        self._write(rows)

    def _note_head(self, topic: str, head: Head) -> None:
        if self._heads.get(topic) != (head.epoch, head.first_seq):
            self._heads[topic] = (head.epoch, head.first_seq)
            self._write([["head", topic, head.epoch, head.seq, head.tag, head.first_seq]])

    def _write(self, rows: Sequence[Sequence[Any]]) -> None:
        if rows:
            os.write(self._file, "".join(json.dumps(row) + "\n" for row in rows).encode())


def truth_of(folder: Path) -> Truth:
    """Return what all witnesses saw. What of it was taken back is for those to say who know how it ended.

    Raises:
        AssertionError: two of them saw different events at the same place.
    """
    truth = Truth()
    for _, topic, epoch, seq, tag, *rest in _rows(folder, "entry"):
        place, fact = (topic, Position(epoch, seq, tag)), Fact(*rest)
        known = truth.facts.setdefault(place, fact)
        assert (known.previous, known.payload) == (fact.previous, fact.payload), (place, known, fact)
    return truth


def heads_of(folder: Path) -> Iterator[tuple[str, Position, int]]:
    """Return the ends of topics that were seen, with the number of the first event that was kept then."""
    for _, topic, epoch, seq, tag, first in _rows(folder, "head"):
        yield topic, Position(epoch, seq, tag), first


def _rows(folder: Path, kind: str) -> Iterator[list[Any]]:
    for path in sorted(folder.glob("*.witness")):
        for line in path.read_bytes().splitlines():
            row = json.loads(line)
            if row[0] == kind:
                yield row
