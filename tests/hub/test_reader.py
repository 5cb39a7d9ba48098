"""Reading on at one's own pace: in order, without a hole, with every gap in its place."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Sequence

import pytest

from tests.hub.support import OddLog, run, turns
from unbroken.errors import LogUnavailable
from unbroken.hub.counters import Counters
from unbroken.hub.event import Event
from unbroken.hub.gap import Gap, GapReason
from unbroken.hub.numbering import Item, Numbering
from unbroken.hub.reader import PAGE_EVENTS, Reader
from unbroken.hub.reading import OnGap
from unbroken.hub.topics import Topics
from unbroken.logs import Position


class Stand:
    """A log, and readers of its topics."""

    def __init__(self) -> None:
        self.log = OddLog()
        self.counters = Counters()
        self.topics = Topics(self.log, self.counters)

    async def reader(self, *names: str, on_gap: OnGap = "continue") -> Reader:
        """Return a reader that begins with what comes next."""
        if self.log.listener is None:
            await self.log.start(self.topics)
        topics = await self.topics.acquire(names)
        return Reader(topics, Numbering(names, b""), self.log, on_gap, self.counters)


async def all_of(reader: Reader) -> list[Item]:
    """Read until current."""
    items: list[Item] = []
    while page := await reader.read():
        items += page
    assert reader.is_current()
    return items


def data(items: Sequence[Item]) -> list[str]:
    """Return the texts of events; of a gap its reason."""
    return [item.data if isinstance(item, Event) else str(item.reason) for item in items]


def texts(start: int, end: int) -> list[str]:
    """Return texts."""
    return [str(number) for number in range(start, end)]


def test_a_reader_begins_with_what_comes_next() -> None:
    """What was there before is not read; `read` returns nothing when nothing has come."""

    async def main() -> None:
        stand = Stand()
        reader = await stand.reader("t")
        await stand.log.add("t", "0")
        other = await stand.reader("t")
        assert await other.read() == ()
        assert data(await all_of(reader)) == ["0"]

    run(main())


@pytest.mark.parametrize("count", [1, 100, 255, 256, 257, 600, 3000])
def test_what_is_at_hand_and_what_is_in_the_log_are_one(count: int) -> None:
    """However far behind: each event once, in order, by pages that are bounded."""

    async def main() -> None:
        stand = Stand()
        reader = await stand.reader("t")
        for start in range(0, count, 50):
            await stand.log.add("t", *texts(start, min(start + 50, count)))
        assert reader.lag() == count
        got: list[str] = []
        while page := await reader.read():
            assert len(page) <= PAGE_EVENTS
            got += data(page)
        assert got == texts(0, count)
        assert reader.lag() == 0

    run(main())


def test_several_topics_are_read_in_turns() -> None:
    """Each in its own order, and a long one does not keep the others waiting."""

    async def main() -> None:
        stand = Stand()
        reader = await stand.reader("a", "b", "c")
        await stand.log.add("a", *texts(0, 2000))
        await stand.log.add("b", "b0", "b1")
        await stand.log.add("c", "c0")
        first = data([item for _ in range(3) for item in await reader.read()])
        assert {"b0", "b1", "c0"} < set(first)
        rest = first + data(await all_of(reader))
        assert [text for text in rest if text[0] not in "bc"] == texts(0, 2000)
        assert [text for text in rest if text[0] == "b"] == ["b0", "b1"]

    run(main())


def test_readers_who_come_back_together_share_the_pages() -> None:
    """A hundred of them cost the log as many pages as one; each gets everything, and one that leaves harms nobody."""

    async def main() -> None:
        stand = Stand()
        first = await stand.reader("t")
        begin = first.vector
        await stand.log.add("t", *texts(0, 3 * PAGE_EVENTS))
        await stand.log.keep_newest("t", 3 * PAGE_EVENTS)
        await stand.log.add("t", *texts(3 * PAGE_EVENTS, 8 * PAGE_EVENTS))
        readers = [first, *[await stand.reader("t") for _ in range(99)]]
        for reader in readers:
            reader.move(0, begin[0])
        leaving = await stand.reader("t")
        leaving.move(0, begin[0])
        stand.log.calls.clear()
        stand.log.gate = asyncio.Event()
        left = asyncio.create_task(leaving.read())
        reading = [asyncio.create_task(all_of(reader)) for reader in readers]
        await turns()
        left.cancel()
        stand.log.gate.set()
        everything = await asyncio.gather(*reading)
        assert all(data(items) == texts(0, 8 * PAGE_EVENTS) for items in everything)
        assert stand.log.calls["read"] <= 8

    run(main())


def test_an_error_reaches_all_who_share_a_page() -> None:
    """And the next try is a new one."""

    async def main() -> None:
        stand = Stand()
        readers = [await stand.reader("t") for _ in range(3)]
        begin = readers[0].vector[0]
        await stand.log.add("t", *texts(0, 1000))
        for reader in readers:
            reader.move(0, begin)
        stand.log.away = True
        results = await asyncio.gather(*(reader.read() for reader in readers), return_exceptions=True)
        assert [type(result) for result in results] == [LogUnavailable] * 3
        stand.log.away = False
        assert [len(await reader.read()) for reader in readers] == [PAGE_EVENTS] * 3

    run(main())


@pytest.mark.parametrize("seed", range(10))
def test_reading_among_appending_keeps_each_topics_order(seed: int) -> None:
    """Steps of reading and appending in any mix, with hints lost: nothing is missed or repeated."""

    async def main() -> None:
        chance, stand = random.Random(seed), Stand()
        names = ("a", "b", "c")
        reader = await stand.reader(*names)
        published: dict[str, list[str]] = {name: [] for name in names}
        got: list[Item] = []
        for step in range(300):
            name = chance.choice(names)
            stand.log.deaf = chance.random() < 0.2
            if chance.random() < 0.6:
                added = [f"{step}.{number}" for number in range(chance.choice((1, 1, 5, 200)))]
                published[name] += added
                await stand.log.add(name, *added)
            else:
                got += await reader.read()
        stand.topics.on_doubt(None)
        for topic in reader.topics:
            await topic.refresh()
        got += await all_of(reader)
        for name in names:
            assert data([item for item in got if isinstance(item, Event) and item.topic == name]) == published[name]
        assert not [item for item in got if isinstance(item, Gap)]

    run(main())


def test_a_trimmed_history_is_a_gap_that_is_counted() -> None:
    """The reader goes on with what is left; the gap says how many, and between what."""

    async def main() -> None:
        stand = Stand()
        reader = await stand.reader("t")
        entries = await stand.log.add("t", *texts(0, 1000))
        await stand.log.keep_newest("t", 10)
        epoch = reader.vector[0].epoch
        reader.move(0, Position(epoch, 5, entries[4].tag))
        gap, *items = await all_of(reader)
        following = Position(epoch, 991, entries[990].tag)
        assert gap == Gap(GapReason.TRIMMED, "t", Position(epoch, 5, entries[4].tag), following, 985)
        assert data(items) == texts(990, 1000)
        assert stand.counters.gaps == {GapReason.TRIMMED: 1}

    run(main())


def test_a_gap_with_nothing_behind_it_has_no_next() -> None:
    """All was trimmed: what comes next is not yet published."""

    async def main() -> None:
        stand = Stand()
        reader = await stand.reader("t")
        await stand.log.add("t", *texts(0, 3))
        stand.log.inner._topics["t"].entries.clear()
        epoch = reader.vector[0].epoch
        stand.topics.on_doubt(None)
        reader.topics[0]._ring.clear()
        (gap,) = await all_of(reader)
        assert gap == Gap(GapReason.TRIMMED, "t", Position(epoch, 0, ""), None, 3)
        await stand.log.add("t", "next")
        assert data(await all_of(reader)) == ["next"]

    run(main())


def test_a_lost_history_is_a_gap_and_the_new_one_is_read_from_its_beginning() -> None:
    """Its numbers are others, so those that the reader had say nothing: all of the new is new."""

    async def main() -> None:
        stand = Stand()
        reader = await stand.reader("t")
        await stand.log.add("t", *texts(0, 5))
        assert len(await all_of(reader)) == 5
        after = reader.vector[0]
        stand.log.lose()
        entries = await stand.log.add("t", *texts(10, 20))
        await reader.topics[0].refresh()
        gap, *items = await all_of(reader)
        following = Position(reader.vector[0].epoch, 1, entries[0].tag)
        assert gap == Gap(GapReason.EPOCH, "t", after, following, None)
        assert data(items) == texts(10, 20)

    run(main())


def test_a_rollback_and_a_fork_are_gaps_of_unknown_size() -> None:
    """What was lost is not there to be counted; the reader goes on from the log's own end, or the fork."""

    async def main() -> None:
        stand = Stand()
        reader = await stand.reader("t")
        await stand.log.add("t", "0")
        backup = stand.log.kept()
        await stand.log.add("t", "1", "2")
        await all_of(reader)
        after = reader.vector[0]
        stand.log.restore(backup)
        await reader.topics[0].refresh()
        (gap,) = await all_of(reader)
        assert gap == Gap(GapReason.ROLLBACK, "t", after, None, None)
        await stand.log.add("t", "1", "2")
        await all_of(reader)
        after = reader.vector[0]
        stand.log.restore(backup)
        await stand.log.add("t", *texts(11, 15))
        await reader.topics[0].refresh()
        gap, *items = await all_of(reader)
        assert isinstance(gap, Gap)
        assert (gap.reason, gap.after, gap.missed) == (GapReason.FORK, after, None)
        assert data(items) == ["13", "14"]
        assert isinstance(items[0], Event)
        assert gap.next == items[0].position

    run(main())


@pytest.mark.parametrize(
    ("on_gap", "rest"), [("continue", texts(6, 9)), ("earliest", texts(6, 9)), ("close", texts(6, 9)), ("latest", [])]
)
def test_the_policy_says_what_is_read_behind_a_gap(on_gap: OnGap, rest: list[str]) -> None:
    """What there is; or only what comes from now on, and then the gap counts all that is passed over."""

    async def main() -> None:
        stand = Stand()
        reader = await stand.reader("t", on_gap=on_gap)
        await stand.log.add("t", *texts(0, 9))
        await stand.log.keep_newest("t", 3)
        reader.topics[0]._ring.clear()
        gap, *items = await all_of(reader)
        assert isinstance(gap, Gap)
        assert gap.missed == (9 if on_gap == "latest" else 6)
        assert (gap.next is None) == (on_gap == "latest")
        assert data(items) == rest
        await stand.log.add("t", "next")
        assert data(await all_of(reader)) == ["next"]

    run(main())


@pytest.mark.parametrize("more", [[], ["0b", "1b"]], ids=["rollback", "fork"])
def test_behind_a_loss_all_can_be_told_again(more: list[str]) -> None:
    """What the reader saw last is not there any more: with `"earliest"` it is given all there is."""

    async def main() -> None:
        stand = Stand()
        reader = await stand.reader("t", on_gap="earliest")
        await stand.log.add("t", "0", "1")
        backup = stand.log.kept()
        await stand.log.add("t", "2", "3")
        await all_of(reader)
        stand.log.restore(backup)
        if more:
            await stand.log.add("t", *more)
        await reader.topics[0].refresh()
        gap, *items = await all_of(reader)
        assert isinstance(gap, Gap)
        assert gap.missed is None
        assert data(items) == ["0", "1", *more]
        assert isinstance(items[0], Event)
        assert gap.next == items[0].position

    run(main())


def test_a_gap_in_one_topic_leaves_the_others_alone() -> None:
    """Each topic is read on from where the reader was in it."""

    async def main() -> None:
        stand = Stand()
        reader = await stand.reader("a", "b")
        await stand.log.add("a", *texts(0, 9))
        await stand.log.add("b", "b0", "b1")
        await stand.log.keep_newest("a", 2)
        reader.topics[0]._ring.clear()
        items = await all_of(reader)
        of_a = [item for item in items if (item.topic == "a")]
        assert data(of_a) == ["trimmed", "7", "8"]
        assert data([item for item in items if item.topic == "b"]) == ["b0", "b1"]

    run(main())


def test_a_log_that_is_away_costs_the_reader_nothing() -> None:
    """What raised can be asked again, and goes on at the same place; gaps are counted once."""

    async def main() -> None:
        stand = Stand()
        reader = await stand.reader("t")
        await stand.log.add("t", "old")
        stand.log.lose()
        await stand.log.add("t", *texts(0, 3))
        await reader.topics[0].refresh()
        calls = 0

        async def fail(method: str, topic: str) -> None:
            nonlocal calls
            calls += 1
            if calls in (1, 3, 4, 7):  # the page, what follows on the gap, the page again
                raise LogUnavailable("away")

        stand.log.before = fail
        items: list[Item] = []
        for _ in range(20):
            try:
                items += await reader.read()
            except LogUnavailable:
                continue
        assert data(items) == ["epoch", "0", "1", "2"]
        assert stand.counters.gaps == {GapReason.EPOCH: 1}

    run(main())


def test_a_reader_of_closed_topics_is_over_when_all_are() -> None:
    """And when it has read all of them."""

    async def main() -> None:
        stand = Stand()
        reader = await stand.reader("a", "b")
        await stand.log.add("a", "0")
        await stand.log.inner.append("a", [], close=True)
        await reader.topics[0].refresh()
        await all_of(reader)
        assert not reader.is_over()
        await stand.log.add("b", "1")
        await stand.log.inner.append("b", [], close=True)
        await reader.topics[1].refresh()
        assert not reader.is_over()
        await all_of(reader)
        assert reader.is_over()

    run(main())
