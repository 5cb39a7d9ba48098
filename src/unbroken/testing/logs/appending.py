"""Density, links, epochs, atomic batches."""

from __future__ import annotations

import asyncio
import time

from unbroken.logs.contract import Appended, Entry, Log
from unbroken.logs.position import Position
from unbroken.testing.logs.handles import Contract, Handles, drafts, everything, scenario

__all__ = ["AppendingContract", "check_links"]

NAMES = (
    "",
    "orders:42",
    "Orders:42",
    "orders:42 ",
    "späti/été",
    "spa\u0308ti",
    "日本 🚀",
    "a\x00b",
    "'; DROP TABLE x",
    "%s*?",
    "n" * 500,
)
"""Topics that a log with its own idea of text would mix up."""

PAYLOADS = (b"", b"\x00", bytes(range(256)), b"\xff\xfe no text", "日本".encode(), b"\r\n\r\n", b"x" * 300_000)


class AppendingContract(Contract):
    """Promises 1 to 4."""

    @scenario
    async def test_entries_are_counted_from_one(self, handles: Handles) -> None:
        """`seq` begins at 1 and has no hole, over single appends and batches (1)."""
        log = (await handles.open()).log
        for count in (1, 3, 1, 2):
            await log.append("t", drafts(*[b"x"] * count))
        assert [entry.seq for entry in await everything(log, "t")] == [1, 2, 3, 4, 5, 6, 7]

    @scenario
    async def test_concurrent_appends_leave_no_hole(self, handles: Handles) -> None:
        """Many that append at once, through every handle, make one dense and linked history (1, 2, 4)."""
        opened = await handles.open_all()
        made = await asyncio.gather(*(_append_some(one.log, name) for one in opened for name in range(8)))
        entries = await everything(opened[-1].log, "t")
        check_links(entries, first=1)
        assert len(entries) == 8 * 15 * len(opened)
        kept = {entry.seq: entry for entry in entries}
        for appended in (appended for some in made for appended in some):
            assert [kept[entry.seq] for entry in appended.entries] == list(appended.entries)
            check_links(list(appended.entries), first=appended.entries[0].seq)

    @scenario
    async def test_no_entry_becomes_visible_before_an_earlier_one(self, handles: Handles) -> None:
        """Whoever sees an entry can read all before it: no reader ever meets a hole that is filled later (1)."""
        opened = await handles.open_all()
        writing = [asyncio.create_task(_append_some(one.log, name)) for one in opened for name in range(6)]
        while not all(task.done() for task in writing):
            seen = (await opened[-1].log.head("t")).seq
            entries = await everything(opened[0].log, "t")
            assert len(entries) >= seen
            check_links(entries, first=1)
            await asyncio.sleep(0)
        await asyncio.gather(*writing)

    @scenario
    async def test_each_entry_knows_the_tag_before_it(self, handles: Handles) -> None:
        """`previous` is the tag of the entry before, also from batch to batch, and empty for the first (2)."""
        log = (await handles.open()).log
        await log.append("t", drafts(b"1", b"2"))
        await log.append("t", drafts(b"3"))
        entries = await everything(log, "t")
        assert [entry.previous for entry in entries] == ["", entries[0].tag, entries[1].tag]

    @scenario
    async def test_tags_are_random(self, handles: Handles) -> None:
        """The same events in two topics have other tags: only so a rewritten history is seen (2)."""
        log = (await handles.open()).log
        one, other = [(await log.append(name, drafts(*[b"x"] * 8))).entries for name in ("one", "other")]
        assert [entry.tag for entry in one] != [entry.tag for entry in other]
        assert len({entry.tag for entry in one}) > 1

    @scenario
    async def test_the_first_question_makes_the_epoch(self, handles: Handles) -> None:
        """`head`, `read` and `append` each make a topic that there was not; none changes its epoch (3)."""
        log = (await handles.open()).log
        asked = await log.head("asked")
        assert (asked.seq, asked.tag, asked.first_seq, asked.closed) == (0, "", 1, False)
        read = (await log.read("read", 0, 10)).head
        assert (await log.append("asked", drafts(b"x"))).epoch == asked.epoch
        assert (await log.append("read", drafts(b"x"))).epoch == read.epoch
        assert (await log.head("asked")).epoch == asked.epoch != read.epoch

    @scenario
    async def test_all_see_one_epoch(self, handles: Handles) -> None:
        """However many ask first for a topic at once, it has one epoch (3)."""
        opened = await handles.open_all()
        heads = await asyncio.gather(*(one.log.head("t") for one in opened for _ in range(4)))
        made = await asyncio.gather(*(one.log.append("t", drafts(b"x")) for one in opened))
        assert len({head.epoch for head in heads} | {appended.epoch for appended in made}) == 1

    @scenario
    async def test_positions_can_be_written(self, handles: Handles) -> None:
        """The position of the head, before and after the first entry, reads back as it was written."""
        log = (await handles.open()).log
        before = (await log.head("t")).position
        appended = await log.append("t", drafts(b"1", b"2"))
        head = await log.head("t")
        assert appended.position == head.position == Position(head.epoch, 2, appended.entries[-1].tag)
        assert [Position.parse(str(position)) for position in (before, head.position)] == [before, head.position]

    @scenario
    async def test_nobody_sees_half_a_batch(self, handles: Handles) -> None:
        """A batch becomes visible as a whole: no head and no page ends within one (4)."""
        opened = await handles.open_all()
        writing = asyncio.gather(*(_append_batches(one.log) for one in opened))
        while not writing.done():
            head = await opened[0].log.head("t")
            page = await opened[-1].log.read("t", 0, 10_000)
            assert head.seq % 10 == 0
            assert page.head.seq % 10 == len(page.entries) % 10 == 0
            await asyncio.sleep(0)
        await writing

    @scenario
    async def test_payloads_are_any_bytes(self, handles: Handles) -> None:
        """A payload comes back as it was given."""
        log = (await handles.open()).log
        appended = await log.append("t", drafts(*PAYLOADS))
        entries = await everything(log, "t")
        assert tuple(entry.payload for entry in entries) == PAYLOADS
        assert tuple(entries) == appended.entries

    @scenario
    async def test_topics_are_any_text(self, handles: Handles) -> None:
        """Topics whose names differ in anything are different topics."""
        log = (await handles.open()).log
        for name in NAMES:
            await log.append(name, drafts(name.encode()))
        for name in NAMES:
            assert [entry.payload for entry in await everything(log, name)] == [name.encode()]
        assert sorted(await log.topics()) == sorted(NAMES)

    @scenario
    async def test_entries_say_when(self, handles: Handles) -> None:
        """`appended_at` is in seconds since the Unix epoch."""
        log = (await handles.open()).log
        (entry,) = (await log.append("t", drafts(b"x"))).entries
        assert abs(entry.appended_at - time.time()) < 60


def check_links(entries: list[Entry], first: int) -> None:
    """Check that the entries follow each other without a hole, from `first` on."""
    assert [entry.seq for entry in entries] == list(range(first, first + len(entries)))
    before = entries[0].previous if entries and first > 1 else ""
    for entry in entries:
        assert entry.previous == before, (
            f"entry {entry.seq} follows {entry.previous!r}, but {before!r} stands before it"
        )
        before = entry.tag


async def _append_some(log: Log, name: int) -> list[Appended]:
    made = list[Appended]()
    for count in (1, 4, 1, 2, 7):
        made.append(await log.append("t", drafts(*[b"%d" % name] * count)))
        await asyncio.sleep(0)  # also where append does not suspend, the others come in between
    return made


async def _append_batches(log: Log) -> None:
    for _ in range(12):
        await log.append("t", drafts(*[b"x"] * 10))
        await asyncio.sleep(0)
