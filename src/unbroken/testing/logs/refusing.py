"""Keys, fences, closing: what an append does not append."""

from __future__ import annotations

import asyncio

from unbroken.errors import ConfigurationError, Fenced, LogError, TopicClosed
from unbroken.logs.contract import Appended, Log, Retention
from unbroken.testing.logs.handles import Contract, Handles, drafts, everything, scenario

__all__ = ["RefusingContract"]


class RefusingContract(Contract):
    """Promises 5 to 7."""

    @scenario
    async def test_a_key_appends_once(self, handles: Handles) -> None:
        """The second append with a key returns what the first did, through any handle, whatever it brings (5)."""
        opened = await handles.open_all()
        first = await opened[0].log.append("t", drafts(b"1", b"2"), key="k")
        await opened[0].log.append("t", drafts(b"3"))
        again = await opened[-1].log.append("t", drafts(b"other"), key="k")
        assert (first.duplicate, again.duplicate) == (False, True)
        assert (again.epoch, again.entries, again.position) == (first.epoch, first.entries, first.position)
        assert [entry.payload for entry in await everything(opened[0].log, "t")] == [b"1", b"2", b"3"]

    @scenario
    async def test_keys_belong_to_a_topic(self, handles: Handles) -> None:
        """The same key in another topic, and another key in this one, append (5)."""
        log = (await handles.open()).log
        made = [
            await log.append(topic, drafts(b"x"), key=key)
            for topic, key in (("a", "k"), ("b", "k"), ("a", "K"), ("a", ""))
        ]
        assert [appended.duplicate for appended in made] == [False] * 4
        assert (await log.append("a", drafts(b"x"), key="")).duplicate

    @scenario
    async def test_a_key_that_many_use_at_once_appends_once(self, handles: Handles) -> None:
        """Of concurrent appends with one key exactly one appends, and all return its position (5)."""
        opened = await handles.open_all()
        made = await asyncio.gather(*(one.log.append("t", drafts(b"x"), key="k") for one in opened for _ in range(10)))
        assert [appended.duplicate for appended in made].count(False) == 1
        assert len({appended.position for appended in made}) == 1
        assert (await opened[0].log.head("t")).seq == 1

    @scenario
    async def test_a_cancelled_append_can_be_repeated(self, handles: Handles) -> None:
        """After a cancelled append the same call makes sure of it, once; others are not disturbed (4, 5)."""
        log = (await handles.open()).log
        others = [asyncio.create_task(_one(log, b"other")) for _ in range(5)]
        for number in range(10):
            cancelled = asyncio.create_task(_one(log, b"x", f"k{number}"))
            for _ in range(number % 3):
                await asyncio.sleep(0)
            cancelled.cancel()
            await asyncio.gather(cancelled, return_exceptions=True)
            await _one(log, b"x", f"k{number}")
        await asyncio.gather(*others)
        payloads = [entry.payload for entry in await everything(log, "t")]
        assert (payloads.count(b"x"), payloads.count(b"other")) == (10, 5)

    @scenario
    async def test_a_key_outlives_its_entries(self, handles: Handles) -> None:
        """A duplicate names the first append's position, also when some of its entries were trimmed, or all (5)."""
        log = (await handles.open()).log
        first = await log.append("t", drafts(b"1", b"2", b"3"), key="k")
        await log.trim("t", Retention(max_events=1))
        again = await log.append("t", drafts(b"x"), key="k")
        assert (again.position, again.entries) == (first.position, first.entries[2:])
        await log.append("t", drafts(b"4"))
        await log.trim("t", Retention(max_events=1))
        last = await log.append("t", drafts(b"x"), key="k")
        assert (last.position, last.entries, last.duplicate) == (first.position, (), True)

    @scenario
    async def test_a_lower_fence_is_refused(self, handles: Handles) -> None:
        """Below the highest fence that was used an append raises `Fenced`, through any handle (6)."""
        opened = await handles.open_all()
        await opened[0].log.append("t", drafts(b"5"), fence=5)
        assert await _raised(opened[-1].log.append("t", drafts(b"4"), fence=4)) is Fenced
        await opened[-1].log.append("t", drafts(b"5"), fence=5)
        await opened[-1].log.append("t", drafts(b"9"), fence=9)
        assert await _raised(opened[0].log.append("t", drafts(b"5"), fence=5)) is Fenced
        assert [entry.payload for entry in await everything(opened[0].log, "t")] == [b"5", b"5", b"9"]

    @scenario
    async def test_appends_without_a_fence_pass(self, handles: Handles) -> None:
        """An append without a fence is not compared, and lowers none; each topic has its own (6)."""
        log = (await handles.open()).log
        await log.append("t", drafts(b"5"), fence=5)
        await log.append("t", drafts(b"none"))
        await log.append("other", drafts(b"1"), fence=1)
        assert await _raised(log.append("t", drafts(b"4"), fence=4)) is Fenced

    @scenario
    async def test_a_duplicate_passes_every_fence(self, handles: Handles) -> None:
        """An append whose key was used returns what the first did, whatever its fence, and sets none (5, 6)."""
        log = (await handles.open()).log
        await log.append("t", drafts(b"x"), key="k", fence=5)
        assert (await log.append("t", drafts(b"x"), key="k", fence=1)).duplicate
        assert (await log.append("t", drafts(b"x"), key="k", fence=99)).duplicate
        assert not (await log.append("t", drafts(b"y"), fence=6)).duplicate

    @scenario
    async def test_nothing_follows_the_close(self, handles: Handles) -> None:
        """After a closing append every other raises `TopicClosed`, through any handle, and the head says closed (7)."""
        opened = await handles.open_all()
        await opened[0].log.append("t", drafts(b"1"), fence=5)
        await opened[0].log.append("t", drafts(b"2"), close=True)
        for log in (one.log for one in opened):
            assert await _raised(log.append("t", drafts(b"3"))) is TopicClosed
            assert await _raised(log.append("t", drafts(b"3"), fence=1)) is TopicClosed
            assert await _raised(log.append("t", [], close=True, key="new")) is TopicClosed
            assert (await log.head("t")).closed
        page = await opened[-1].log.read("t", 0, 10)
        assert (page.head.closed, [entry.payload for entry in page.entries]) == (True, [b"1", b"2"])

    @scenario
    async def test_a_closed_topic_knows_its_keys(self, handles: Handles) -> None:
        """In a closed topic an append whose key was used returns what the first did, the closing one too (5, 7)."""
        log = (await handles.open()).log
        first = await log.append("t", drafts(b"1"), key="first")
        last = await log.append("t", drafts(b"2"), key="last", close=True)
        assert (await log.append("t", drafts(b"1"), key="first")).position == first.position
        again = await log.append("t", drafts(b"2"), key="last", close=True)
        assert (again.duplicate, again.position, again.entries) == (True, last.position, last.entries)

    @scenario
    async def test_a_topic_closes_without_an_entry(self, handles: Handles) -> None:
        """An empty batch that closes appends nothing, and its position is that of the newest entry, or of none (7)."""
        log = (await handles.open()).log
        entry = await log.append("t", drafts(b"1"))
        closed = await log.append("t", [], close=True, key="k")
        assert (closed.entries, closed.position) == ((), entry.position)
        again = await log.append("t", [], close=True, key="k")
        assert (again.duplicate, again.entries, again.position) == (True, (), entry.position)
        empty = await log.append("empty", [], close=True)
        assert (empty.entries, empty.position) == ((), (await log.head("empty")).position)

    @scenario
    async def test_an_empty_batch_must_close(self, handles: Handles) -> None:
        """An empty batch that does not close is a `ConfigurationError` (7)."""
        log = (await handles.open()).log
        try:
            await log.append("t", [])
        except ConfigurationError:
            return
        raise AssertionError("an empty batch that does not close was taken")

    @scenario
    async def test_a_topic_is_closed_once(self, handles: Handles) -> None:
        """Of concurrent closing appends exactly one closes (7)."""
        opened = await handles.open_all()
        closing = [one.log.append("t", drafts(b"x"), close=True) for one in opened for _ in range(5)]
        results = await asyncio.gather(*closing, return_exceptions=True)
        assert sum(isinstance(result, Appended) for result in results) == 1
        assert sum(isinstance(result, TopicClosed) for result in results) == len(closing) - 1
        assert (await opened[0].log.head("t")).seq == 1


async def _one(log: Log, payload: bytes, key: str | None = None) -> None:
    await log.append("t", drafts(payload), key=key)


async def _raised(call: asyncio.Future[Appended] | object) -> type[LogError] | None:
    try:
        await call  # type: ignore[misc]
    except LogError as error:
        return type(error)
    return None
