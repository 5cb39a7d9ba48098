"""Retention."""

from __future__ import annotations

import asyncio

from unbroken.logs.contract import Log, Retention
from unbroken.testing.logs.handles import Contract, Handles, drafts, everything, scenario

__all__ = ["TrimmingContract"]

LONG_AGO = 0.05
"""Seconds after which the tests count a thing as old."""

UNBOUND = Retention(max_events=None, max_age=None, max_bytes=None, forget_after=None)


class TrimmingContract(Contract):
    """What `trim` drops, and what not."""

    @scenario
    async def test_no_bound_drops_nothing(self, handles: Handles) -> None:
        """A retention without bounds keeps all."""
        log = await _with_entries(handles, 20)
        assert await log.trim("t", UNBOUND) == 0
        assert len(await everything(log, "t")) == 20

    @scenario
    async def test_too_many_go(self, handles: Handles) -> None:
        """`max_events` keeps so many of the newest; what is appended then follows as if nothing had gone."""
        log = await _with_entries(handles, 2000)
        assert await log.trim("t", Retention(max_events=5)) == 1995
        assert await log.trim("t", Retention(max_events=5)) == 0
        head = await log.head("t")
        assert (head.seq, head.first_seq) == (2000, 1996)
        (entry,) = (await log.append("t", drafts(b"x"))).entries
        assert (entry.seq, entry.previous) == (2001, head.tag)

    @scenario
    async def test_too_large_go(self, handles: Handles) -> None:
        """`max_bytes` counts payloads from the newest, which stays however large it is."""
        log = (await handles.open()).log
        await log.append("t", drafts(b"x" * 40, b"x" * 30, b"x" * 20, b"x" * 10))
        assert await log.trim("t", Retention(max_bytes=60)) == 1
        assert await log.trim("t", Retention(max_bytes=59)) == 1
        assert await log.trim("t", Retention(max_bytes=1)) == 1
        assert [len(entry.payload) for entry in await everything(log, "t")] == [10]

    @scenario
    async def test_too_old_go(self, handles: Handles) -> None:
        """`max_age` drops what was appended longer ago, the newest too; the head remembers where it was."""
        log = await _with_entries(handles, 3)
        before = await log.head("t")
        assert await log.trim("t", Retention(max_age=3600)) == 0
        await asyncio.sleep(LONG_AGO * 2)
        assert await log.trim("t", Retention(max_age=LONG_AGO)) == 3
        head = await log.head("t")
        assert (head.position, head.first_seq) == (before.position, 4)
        assert (await log.append("t", drafts(b"x"))).entries[0].previous == before.tag

    @scenario
    async def test_trims_and_appends_at_once(self, handles: Handles) -> None:
        """Trims through every handle beside appends drop each entry once, and only from the beginning."""
        opened = await handles.open_all()
        await opened[0].log.append("t", drafts(*[b"x"] * 900))
        trims = asyncio.gather(*(one.log.trim("t", Retention(max_events=100)) for one in opened))
        await asyncio.gather(*(one.log.append("t", drafts(b"y")) for one in opened for _ in range(10)))
        gone = sum(await trims)
        head = await opened[0].log.head("t")
        assert head.first_seq == gone + 1
        assert len(await everything(opened[0].log, "t")) == head.seq - gone

    @scenario
    async def test_an_old_key_is_forgotten(self, handles: Handles) -> None:
        """A key is remembered for `key_age` at least; a trim after that forgets it."""
        log = (await handles.open()).log
        await log.append("t", drafts(b"x"), key="k")
        await log.trim("t", Retention(key_age=3600, max_age=LONG_AGO))
        assert (await log.append("t", drafts(b"x"), key="k")).duplicate
        await asyncio.sleep(LONG_AGO * 2)
        await log.trim("t", Retention(key_age=LONG_AGO))
        assert not (await log.append("t", drafts(b"x"), key="k")).duplicate

    @scenario
    async def test_an_empty_topic_is_forgotten(self, handles: Handles) -> None:
        """After `forget_after` a topic without entries is gone with its epoch, its closing and its fence."""
        log = (await handles.open()).log
        first = await log.append("t", drafts(b"x"), fence=9, close=True)
        await asyncio.sleep(LONG_AGO * 2)
        assert await log.trim("t", Retention(max_age=LONG_AGO, forget_after=3600)) == 1
        assert await log.topics() == ["t"]
        await asyncio.sleep(LONG_AGO * 2)
        await log.trim("t", Retention(forget_after=LONG_AGO))
        assert await log.topics() == []
        again = await log.append("t", drafts(b"x"), fence=1)
        assert (again.position.seq, again.entries[0].previous) == (1, "")
        assert again.epoch != first.epoch

    @scenario
    async def test_a_topic_in_use_is_not_forgotten(self, handles: Handles) -> None:
        """A topic that has entries, or remembers a key, keeps its epoch, however long nothing is appended."""
        log = (await handles.open()).log
        full = await log.append("full", drafts(b"x"))
        keyed = await log.append("keyed", drafts(b"x"), key="k")
        await asyncio.sleep(LONG_AGO * 2)
        await log.trim("keyed", Retention(max_age=LONG_AGO))
        await asyncio.sleep(LONG_AGO * 2)
        for topic in ("full", "keyed"):
            await log.trim(topic, Retention(forget_after=LONG_AGO))
        assert (await log.head("full")).epoch == full.epoch
        assert (await log.append("keyed", drafts(b"x"), key="k")).position == keyed.position

    @scenario
    async def test_an_unknown_topic_is_not_made(self, handles: Handles) -> None:
        """To trim a topic that there is not does nothing, nor does to watch it."""
        log = (await handles.open()).log
        assert await log.trim("never", Retention()) == 0
        await log.watch("watched")
        assert await log.topics() == []


async def _with_entries(handles: Handles, count: int) -> Log:
    log = (await handles.open()).log
    await log.append("t", drafts(*[b"x"] * count))
    return log
