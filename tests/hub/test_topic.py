"""The mirror of a topic's end: whatever the hints do, it never skips."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest

from tests.hub.support import OddLog, run, turns, until
from unbroken.hub import topic as topics
from unbroken.hub.counters import Counters
from unbroken.hub.event import Event
from unbroken.hub.topic import Topic
from unbroken.hub.topics import Topics
from unbroken.logs import Draft, Entry, Position


class Follower:
    """Keeps what it is told."""

    def __init__(self) -> None:
        self.data: list[str] = []
        self.breaks = 0

    def on_events(self, topic: Topic, events: Sequence[Event]) -> None:
        self.data += [event.data for event in events]

    def on_break(self, topic: Topic) -> None:
        self.breaks += 1


class Stand:
    """An open topic over a log that a test can disturb."""

    def __init__(self) -> None:
        self.log = OddLog()
        self.counters = Counters()
        self.topics = Topics(self.log, self.counters)
        self.follower = Follower()

    async def open(self, *texts: str) -> Topic:
        """Open the topic, with events in it already."""
        await self.log.start(self.topics)
        if texts:
            await self.log.add("t", *texts)
        (self.topic,) = await self.topics.acquire(["t"])
        self.topic.followers.add(self.follower)
        return self.topic

    async def withheld(self, *texts: str) -> tuple[str, tuple[Entry, ...]]:
        """Append without a hint."""
        self.log.deaf = True
        entries = await self.log.add("t", *texts)
        self.log.deaf = False
        return (await self.log.inner.head("t")).epoch, entries

    async def settled(self) -> None:
        """Wait until nothing is in doubt."""
        await until(lambda: self.topic._filling is None)


def numbers(start: int, end: int) -> list[str]:
    """Return texts."""
    return [str(number) for number in range(start, end)]


def test_an_open_topic_stands_at_the_logs_end() -> None:
    """Its newest events are at hand, and what is appended reaches its followers in order."""

    async def main() -> None:
        stand = Stand()
        topic = await stand.open("0", "1", "2")
        head = await stand.log.inner.head("t")
        assert topic.position == head.position
        events = topic.since(Position(head.epoch, 0, ""), 2)
        assert events is not None
        assert [event.data for event in events] == ["0", "1"]
        await stand.log.add("t", "3", "4")
        assert stand.follower.data == ["3", "4"]
        assert stand.counters.fills == 0

    run(main())


def test_hints_that_come_twice_are_taken_once() -> None:
    """A repetition of what was taken changes nothing, and asks no log."""

    async def main() -> None:
        stand = Stand()
        await stand.open()
        epoch, entries = await stand.withheld("0", "1", "2")
        for _ in range(3):
            stand.topics.on_entries("t", epoch, entries, False)
            stand.topics.on_entries("t", epoch, entries[1:], False)
        await turns()
        assert stand.follower.data == ["0", "1", "2"]
        assert stand.counters.fills == 0

    run(main())


@pytest.mark.parametrize("order", [[1, 0, 2], [2, 1, 0], [2, 0, 1], [1, 2], [2], [0, 2, 1]])
def test_hints_in_any_order_end_in_the_logs_order(order: list[int]) -> None:
    """What does not follow on makes it read the log; each event is told once, in its place."""

    async def main() -> None:
        stand = Stand()
        await stand.open()
        epoch, entries = await stand.withheld("0", "1", "2")
        for at in order:
            stand.topics.on_entries("t", epoch, entries[at : at + 1], False)
            await turns(1)
        await stand.settled()
        assert stand.follower.data == ["0", "1", "2"]
        assert stand.follower.breaks == 0
        assert stand.counters.fills >= 1

    run(main())


def test_a_lost_hint_is_made_up_for_by_the_next_or_by_a_doubt() -> None:
    """What was missed is read from the log, before what came with the hint."""

    async def main() -> None:
        stand = Stand()
        await stand.open()
        await stand.withheld("0", "1")
        await turns()
        assert stand.follower.data == []
        await stand.log.add("t", "2")
        await stand.settled()
        assert stand.follower.data == ["0", "1", "2"]
        await stand.withheld("3")
        stand.topics.on_doubt(["other"])
        await turns()
        assert stand.follower.data == ["0", "1", "2"]
        stand.topics.on_doubt(None)
        await stand.settled()
        assert stand.follower.data == ["0", "1", "2", "3"]
        assert stand.counters.fills == 2

    run(main())


def test_a_very_late_hint_changes_nothing() -> None:
    """Of an entry that is no longer at hand the log is asked; nothing is told again."""

    async def main() -> None:
        stand = Stand()
        await stand.open()
        epoch, entries = await stand.withheld(*numbers(0, 2000))
        stand.topics.on_entries("t", epoch, entries, False)
        stand.topics.on_entries("t", epoch, entries[:1], False)
        await stand.settled()
        assert stand.follower.data == numbers(0, 2000)
        assert stand.follower.breaks == 0

    run(main())


def test_a_hint_from_another_epoch_is_looked_up() -> None:
    """Where the log is still the same it was nobody's; where the history is another, all followers are told to look."""

    async def main() -> None:
        stand = Stand()
        topic = await stand.open("0")
        here = topic.position
        stand.topics.on_entries("t", "ffff", [Entry(2, "beef", here.tag, b"data: x\n", 0.0)], False)
        await stand.settled()
        assert (topic.position, stand.follower.data, stand.follower.breaks) == (here, [], 0)
        stand.log.lose()
        await stand.log.add("t", "new")
        await stand.settled()
        assert topic.position == (await stand.log.inner.head("t")).position
        assert (stand.follower.data, stand.follower.breaks) == ([], 1)
        assert stand.counters.breaks == 1
        await stand.log.add("t", "next")
        assert stand.follower.data == ["next"]

    run(main())


def test_a_rollback_and_a_fork_are_breaks() -> None:
    """A log that holds less, and one that holds something else under the same numbers, are both noticed."""

    async def main() -> None:
        stand = Stand()
        topic = await stand.open("0")
        backup = stand.log.kept()
        await stand.log.add("t", "1", "2")
        stand.log.restore(backup)
        stand.topics.on_doubt(None)
        await stand.settled()
        assert (stand.follower.breaks, topic.position.seq) == (1, 1)
        await stand.log.add("t", "1")
        stand.log.restore(backup)
        await stand.log.add("t", "other 1", "other 2")
        await stand.settled()
        assert (stand.follower.breaks, topic.position.seq) == (2, 3)
        assert stand.follower.data == ["1", "2", "1"]

    run(main())


def test_a_hint_that_counts_on_but_follows_on_nothing_is_not_told() -> None:
    """After a failover the numbers go on, over other events: the tag before each shows it, and it is a break."""

    async def main() -> None:
        stand = Stand()
        await stand.open("0")
        backup = stand.log.kept()
        await stand.log.add("t", "1")
        stand.log.restore(backup)
        epoch, entries = await stand.withheld("other 1", "other 2")
        stand.topics.on_entries("t", epoch, entries[1:], False)
        await stand.settled()
        assert (stand.follower.data, stand.follower.breaks) == (["1"], 1)

    run(main())


def test_a_log_that_is_away_is_asked_again() -> None:
    """The doubt stays until the log has answered; nothing else is lost meanwhile."""

    async def main() -> None:
        stand = Stand()
        await stand.open()
        await stand.withheld("0")
        stand.log.away = True
        stand.topics.on_doubt(None)
        await asyncio.sleep(10)
        assert 5 <= stand.log.calls["read"] <= 25
        assert stand.follower.data == []
        stand.log.away = False
        await stand.settled()
        assert stand.follower.data == ["0"]

    run(main())


def test_a_doubt_during_a_fill_is_a_further_fill() -> None:
    """What is appended while the log is being read is not missed, though its hint was."""

    async def main() -> None:
        stand = Stand()
        topic = await stand.open()
        await stand.withheld("0")
        stand.log.gate = asyncio.Event()
        topic.doubt()
        await turns()
        await stand.withheld("1")
        topic.doubt()
        stand.log.gate.set()
        await stand.settled()
        assert stand.follower.data == ["0", "1"]

    run(main())


def test_refreshing_waits_for_the_log() -> None:
    """Afterwards the mirror has what the log had at that moment."""

    async def main() -> None:
        stand = Stand()
        topic = await stand.open()
        await stand.withheld("0", "1")
        await topic.refresh()
        assert topic.position.seq == 2

    run(main())


def test_events_that_come_while_it_opens_are_not_missed() -> None:
    """Watching begins before the look at the log: what is told in between is looked up."""

    async def main() -> None:
        stand = Stand()
        await stand.log.start(stand.topics)
        await stand.log.add("t", "0")

        async def add() -> None:
            stand.log.on_the_way = None
            await stand.log.add("t", "1")

        stand.log.on_the_way = add
        (topic,) = await stand.topics.acquire(["t"])
        await until(lambda: topic._filling is None)
        assert topic.position.seq == 2

    run(main())


def test_a_closed_topic_is_told_as_a_break() -> None:
    """After the last event was told; once. Followers then find that nothing more will come."""

    async def main() -> None:
        stand = Stand()
        topic = await stand.open()
        await stand.log.inner.append("t", [Draft(b"data: last\n")], close=True)
        await stand.settled()
        assert (topic.closed, stand.follower.data, stand.follower.breaks) == (True, ["last"], 1)
        topic.doubt()
        await stand.settled()
        assert stand.follower.breaks == 1

    run(main())


def test_closing_without_an_event_is_seen() -> None:
    """A topic may end with nothing; and one that was closed before it was opened here is closed at once."""

    async def main() -> None:
        stand = Stand()
        topic = await stand.open("0")
        await stand.log.inner.append("t", [], close=True)
        await stand.settled()
        assert topic.closed
        await stand.log.inner.append("u", [], close=True)
        (other,) = await stand.topics.acquire(["u"])
        assert other.closed

    run(main())


def test_what_is_at_hand_is_bounded_by_number() -> None:
    """However much is published, some hundreds of events stay; what is older is for the log."""

    async def main() -> None:
        stand = Stand()
        topic = await stand.open()
        first = topic.position
        for _ in range(20):
            await stand.log.add("t", *numbers(0, 100))
            assert len(topic._ring) < 2 * topics.RING_EVENTS
        assert topic.since(first, 10) is None
        assert topic.since(topic._ring[-topics.RING_EVENTS].position, topics.RING_EVENTS) is not None

    run(main())


def test_what_is_at_hand_is_bounded_by_size() -> None:
    """Large events are kept for the few newest; the newest is there whatever its size."""

    async def main() -> None:
        stand = Stand()
        topic = await stand.open()
        for _ in range(30):
            await stand.log.add("t", "x" * 300_000)
            assert sum(len(event.payload) for event in topic._ring) <= 2 * topics.RING_BYTES
            assert topic._ring_bytes == sum(len(event.payload) for event in topic._ring)
        await stand.log.add("t", "x" * 3_000_000)
        assert len(topic._ring) == 1

    run(main())


def test_a_long_history_opens_with_its_end() -> None:
    """Only the newest events are read, however many the log keeps."""

    async def main() -> None:
        stand = Stand()
        topic = await stand.open(*numbers(0, 5000))
        assert stand.log.calls["read"] == 1
        assert topic.position.seq == 5000
        assert topic._ring[0].position.seq == 5001 - topics.RING_EVENTS

    run(main())


@pytest.mark.parametrize(
    "position",
    [Position("ffff", 2, "00"), Position("", 0, ""), Position("here", 2, "beef"), Position("here", 9, "beef")],
)
def test_only_what_follows_on_is_given_out(position: Position) -> None:
    """Another epoch, a fork, or a number that is ahead: the log has to say what it is."""

    async def main() -> None:
        stand = Stand()
        topic = await stand.open(*numbers(0, 5))
        epoch = topic.position.epoch if position.epoch == "here" else position.epoch
        assert topic.since(Position(epoch, position.seq, position.tag), 10) is None
        assert topic.since(topic.position, 10) == ()

    run(main())
