"""Telling."""

from __future__ import annotations

import asyncio

from unbroken.testing.logs.handles import Contract, Handles, drafts, everything, scenario

__all__ = ["TellingContract"]


class TellingContract(Contract):
    """Promise 9, where nothing is lost: also a log whose hints may be lost gives them in quiet times."""

    @scenario
    async def test_every_handle_is_told(self, handles: Handles) -> None:
        """Who watches a topic is told of each entry appended since, by whichever handle, as it is read (9)."""
        opened = await handles.open_all()
        for one in opened:
            await one.log.watch("t")
        await asyncio.gather(*(one.log.append("t", drafts(b"1", b"2")) for one in opened for _ in range(10)))
        entries = {entry.seq: entry for entry in await everything(opened[0].log, "t")}
        for one in opened:
            await one.listener.until(lambda one=one: len(one.listener.entries("t")) == len(entries), "every entry")  # type: ignore[misc]
            assert one.listener.entries("t") == entries

    @scenario
    async def test_the_epoch_is_told(self, handles: Handles) -> None:
        """With the entries comes the epoch in which they are (9)."""
        opened = await handles.open_all()
        await opened[0].log.watch("t")
        appended = await opened[-1].log.append("t", drafts(b"1"))
        await opened[0].listener.until(lambda: bool(opened[0].listener.told), "an entry")
        assert {epoch for _, epoch, _, _ in opened[0].listener.told} == {appended.epoch}

    @scenario
    async def test_the_close_is_told(self, handles: Handles) -> None:
        """The end of a topic is told, with its last entry or without one (7, 9)."""
        opened = await handles.open_all()
        for topic in ("full", "empty"):
            await opened[0].log.watch(topic)
        await opened[-1].log.append("full", drafts(b"1"), close=True)
        await opened[-1].log.append("empty", [], close=True)
        told = opened[0].listener
        await told.until(lambda: told.closed("full") and told.closed("empty"), "the end of both topics")
        assert (len(told.entries("full")), len(told.entries("empty"))) == (1, 0)

    @scenario
    async def test_only_what_is_watched_is_told(self, handles: Handles) -> None:
        """Of a topic that is not watched, not yet or no more, nothing is told (9)."""
        opened = await handles.open_all()
        watching, told = opened[0].log, opened[0].listener
        await opened[-1].log.append("t", drafts(b"before"))
        await watching.watch("t")
        await watching.watch("barrier")
        await watching.watch("left")
        await watching.unwatch("left")
        for topic in ("never", "left", "t", "barrier"):
            await opened[-1].log.append(topic, drafts(b"after"))
        await told.until(lambda: bool(told.entries("t") and told.entries("barrier")), "two entries")
        assert {topic for topic, _, _, _ in told.told} == {"t", "barrier"}
        assert told.entries("t")[2].payload == b"after"

    @scenario
    async def test_a_duplicate_is_not_told_as_new(self, handles: Handles) -> None:
        """An append that appended nothing tells of no entry that is not there (5, 9)."""
        opened = await handles.open_all()
        await opened[0].log.watch("t")
        for _ in range(3):
            await opened[-1].log.append("t", drafts(b"x"), key="k")
        await opened[-1].log.append("t", drafts(b"end"))
        await opened[0].listener.until(lambda: 2 in opened[0].listener.entries("t"), "the last entry")
        assert sorted(opened[0].listener.entries("t")) == [1, 2]
