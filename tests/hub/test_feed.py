"""Fan-out: marks, flushes, heartbeats and fairness, with members that keep what they are given."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence

import pytest

from tests.hub.support import OddLog, Sink, at_once, event, run, turns
from unbroken.errors import CloseReason
from unbroken.hub import feed as feeds
from unbroken.hub.counters import Counters
from unbroken.hub.feed import AWAY, Feed, Flusher
from unbroken.hub.numbering import Item, Numbering, Vector
from unbroken.hub.reach import Reach
from unbroken.hub.topic import Topic
from unbroken.logs import Position
from unbroken.servers import frame_chunk
from unbroken.wire import HEARTBEAT


class Stand:
    """A feed over one topic that a test moves on by hand, and its flusher."""

    def __init__(self, heartbeat: float | None = 15.0) -> None:
        self.counters = Counters()
        self.flusher = Flusher()
        self.topic = Topic("t", OddLog(), self.counters, Reach())
        self.topic.position = Position("aa", 0, "")
        self.feed = Feed([self.topic], Numbering(["t"], b""), heartbeat, HEARTBEAT, self.flusher.add, self.counters)
        self.seq = 0

    def publish(self, count: int = 1, data: str = "") -> None:
        """Let events come."""
        events = [event(self.seq + number, data=data) for number in range(1, count + 1)]
        self.seq += count
        self.topic.position = events[-1].position
        for follower in tuple(self.topic.followers):
            follower.on_events(self.topic, events)

    def join(self, *members: Sink) -> None:
        """Let members join that have all there is."""
        for member in members:
            self.feed.join(member)


def seen(sink: Sink) -> list[int]:
    """Return the numbers of the events that a member was given."""
    return [int(line.split(".")[1]) for line in sink.text.splitlines() if line.startswith("id: ")]


def test_a_member_gets_what_comes_after_it_joined() -> None:
    """What was there before, it has read; each event after that reaches each member once."""

    async def main() -> None:
        stand, one, two = Stand(), Sink(), Sink()
        stand.publish(2)
        await turns()
        stand.join(one)
        stand.publish()
        await turns()
        stand.join(two)
        stand.publish()
        await turns()
        assert (seen(one), seen(two)) == ([3, 4], [4])
        assert stand.counters.delivered == 3

    run(main())


def test_what_comes_within_a_turn_is_one_body() -> None:
    """However many are published before the loop comes round, a member's `send` is called once."""

    async def main() -> None:
        stand, one = Stand(), Sink()
        stand.join(one)
        stand.publish(3)
        stand.publish(2)
        await turns()
        assert len(one.bodies) == 1
        assert seen(one) == [1, 2, 3, 4, 5]
        assert one.text.startswith("id: aa.1.00000001\ndata: 1\n\nid: aa.2.00000002\n")

    run(main())


def test_a_member_that_joins_while_frames_wait_gets_those_after_them() -> None:
    """It has read what waits, so that is not given twice; what is published before the flush comes is not missed."""

    async def main() -> None:
        stand, early, late, last = Stand(), Sink(), Sink(), Sink()
        stand.join(early)
        stand.publish()
        stand.join(late)
        stand.publish()
        stand.join(last)
        await turns()
        assert (seen(early), seen(late), seen(last)) == ([1, 2], [2], [])
        stand.publish()
        await turns()
        assert (seen(early), seen(late), seen(last)) == ([1, 2, 3], [2, 3], [3])

    run(main())


def test_what_a_member_has_had_is_exact_at_every_moment() -> None:
    """Between its joining, the frames that wait and the flush, the feed knows each member's events and bytes."""

    async def main() -> None:
        stand, early, late = Stand(), Sink(), Sink()
        stand.join(early)
        stand.publish()
        base = stand.feed.join(late)
        stand.publish()
        assert stand.feed.had_by(early).events == 0
        assert stand.feed.had_by(late) == base
        assert base.vector == (Position("aa", 1, "00000001"),)
        await turns()
        had = stand.feed.had_by(late)
        assert had.events - base.events == 1
        assert had.bytes - base.bytes == len(b"".join(late.bodies))
        assert stand.feed.had_by(early).bytes == len(b"".join(early.bodies))
        assert had.vector == (stand.topic.position,)

    run(main())


def test_who_leaves_before_the_flush_has_not_had_what_waits() -> None:
    """What `leave` returns is where the member goes on reading: neither a hole nor a repetition."""

    async def main() -> None:
        stand, early, late = Stand(), Sink(), Sink()
        stand.join(early)
        stand.publish()
        stand.join(late)
        stand.publish()
        assert stand.feed.leave(early).vector[0].seq == 0
        assert stand.feed.leave(late).vector[0].seq == 1
        await turns()
        assert early.bodies == late.bodies == []
        assert early.mark == late.mark == AWAY
        assert not stand.feed.members

    run(main())


def many(count: int) -> list[Sink]:
    """Return members."""
    return [Sink() for _ in range(count)]


def test_the_loop_gets_turns_during_a_flush() -> None:
    """A body for thousands is handed out in slices; whatever else is ready runs in between."""

    async def main() -> None:
        stand, members = Stand(), many(5 * feeds.SLICE)
        stand.join(*members)
        stand.publish()
        at_turns: list[int] = []
        while not at_turns or at_turns[-1] < len(members):
            await asyncio.sleep(0)
            at_turns.append(sum(bool(member.bodies) for member in members))
        assert at_turns[-5:] == [feeds.SLICE * number for number in range(1, 6)]

    run(main())


def test_joining_leaving_and_publishing_during_a_flush() -> None:
    """A flush under way: who has had it, who has not, who joined and who left are told apart."""

    async def main() -> None:
        stand, members, late = Stand(), many(2 * feeds.SLICE), Sink()
        stand.join(*members)
        stand.publish()
        await at_once(lambda: bool(members[0].bodies))
        assert not members[-1].bodies
        served, waiting = stand.feed.leave(members[0]), stand.feed.leave(members[-1])
        assert (served.vector[0].seq, waiting.vector[0].seq) == (1, 0)
        stand.join(late)
        stand.publish()
        await turns()
        assert seen(members[0]) == [1]
        assert seen(members[-1]) == []
        assert seen(late) == [2]
        assert all(seen(member) == [1, 2] for member in members[1:-1])

    run(main())


def test_a_flush_that_meets_a_break_goes_no_further() -> None:
    """Those whom it had not yet reached are sent to the log like all others, where they read it."""

    async def main() -> None:
        stand, members = Stand(), many(2 * feeds.SLICE)
        for member in members:
            member.on_heard = lambda word, member=member: stand.feed.leave(member) and None  # type: ignore[misc]
        stand.join(*members)
        stand.publish()
        await at_once(lambda: bool(members[0].bodies))
        stand.publish()
        stand.feed.on_break(stand.topic)
        await turns()
        assert [member.heard for member in members] == [["break_off"]] * len(members)
        assert sum(bool(member.bodies) for member in members) == feeds.SLICE
        assert seen(members[0]) == [1]

    run(main())


def test_more_than_can_wait_sends_all_to_the_log() -> None:
    """Frames beyond the bound are let go: each member breaks off with what it has had, and reads for itself."""

    async def main() -> None:
        stand, one, hads = Stand(), Sink(), list[int]()
        one.on_heard = lambda word: hads.append(stand.feed.leave(one).vector[0].seq)
        stand.join(one)
        stand.publish()
        await turns()
        stand.publish(11, data="x" * 100_000)
        assert one.heard == ["break_off"]
        assert hads == [1]
        await turns()
        assert seen(one) == [1]
        assert stand.feed.mileage.vector == (stand.topic.position,)
        stand.join(one)
        stand.publish()
        await turns()
        assert seen(one) == [1, 13]

    run(main())


def test_a_heartbeat_goes_to_all_once_in_each_interval() -> None:
    """It is one frame for the feed, after a silence; an event counts as a sign of life."""

    async def main() -> None:
        stand, members = Stand(10.0), many(3)
        stand.join(*members)
        await asyncio.sleep(35)
        assert [member.bodies for member in members] == [[HEARTBEAT] * 3] * 3
        assert stand.feed.mileage.heartbeats == 3
        stand.publish()
        await asyncio.sleep(9)
        assert len(members[0].bodies) == 4
        await asyncio.sleep(2)
        assert [member.bodies.count(HEARTBEAT) for member in members] == [4] * 3
        assert stand.counters.delivered == 3

    run(main())


@pytest.mark.parametrize("interval", [0.25, 1.0, 15.0, 40.0])
def test_heartbeats_keep_their_interval(interval: float) -> None:
    """Silence is never much longer than was asked for, however short or long that is."""

    async def main() -> None:
        stand, one = Stand(interval), Sink()
        stand.join(one)
        await asyncio.sleep(interval * 10.5)
        assert len(one.bodies) in (9, 10)

    run(main())


def test_without_heartbeats_nothing_is_sent() -> None:
    """`heartbeat=None` is silence; the connections are looked at all the same."""

    async def main() -> None:
        stand, one, dead = Stand(None), Sink(), Sink()
        stand.join(one, dead)
        dead.alive = False
        await asyncio.sleep(40)
        assert one.bodies == []
        assert one.heard == []
        assert set(dead.heard) == {f"close {CloseReason.WRITE_FAILED}"}

    run(main())


@pytest.mark.parametrize("count", [1, 600])
def test_the_dead_are_found_and_closed(count: int) -> None:
    """A connection that is gone without the server's saying so is closed at the next look, the others not."""

    async def main() -> None:
        stand, members = Stand(), many(count + 1)
        for member in members:
            member.on_heard = lambda word, member=member: stand.feed.leave(member) and None  # type: ignore[misc]
        stand.join(*members)
        for member in members[1:]:
            member.alive = False
        await asyncio.sleep(feeds.LOOK_INTERVAL + 2)
        assert [member.heard for member in members[1:]] == [["close write_failed"]] * count
        assert members[0].heard == []
        assert members[0].bodies == [HEARTBEAT]

    run(main())


def test_each_way_of_taking_a_body_is_used() -> None:
    """`write` takes it in chunked coding, a `send` that suspends or raises is told, and who has neither is woken."""

    async def suspending(message: object) -> None:
        await asyncio.sleep(1)

    async def failing(message: object) -> None:
        raise ConnectionResetError

    async def main() -> None:
        stand = Stand()
        writing, waiting, broken, woken = members = many(4)
        chunks: list[bytes] = []
        writing.write, waiting.send, broken.send, woken.send = chunks.append, suspending, failing, None
        stand.join(*members)
        stand.publish()
        await turns()
        assert chunks == [frame_chunk(event(1).frame)]
        assert writing.heard == []
        assert writing.bodies == []
        assert waiting.heard == ["wait_for"]
        assert broken.heard == ["failed ConnectionResetError"]
        assert woken.heard == ["wake"]

    run(main())


def test_who_is_woken_has_not_had_the_body() -> None:
    """It leaves with what it had before, and reads the event for itself: nothing is counted twice."""

    async def main() -> None:
        stand, one, had = Stand(), Sink(), list[int]()
        one.send = None
        one.on_heard = lambda word: had.append(stand.feed.leave(one).events)
        stand.join(one)
        stand.publish()
        await turns()
        assert one.heard == ["wake"]
        assert had == [0]

    run(main())


def test_a_member_may_leave_in_its_own_write() -> None:
    """A transport that is full says so within `write`: the body counts as had, since the transport took it."""

    async def main() -> None:
        stand, one, two, had = Stand(), Sink(), Sink(), list[int]()
        one.write = lambda chunk: had.append(stand.feed.leave(one).events)
        stand.join(one, two)
        stand.publish()
        await turns()
        assert had == [1]
        assert seen(two) == [1]
        assert list(stand.feed.members) == [two]

    run(main())


def test_a_retired_feed_hears_nothing() -> None:
    """It follows no topic any more, and no deadline is filed for it."""

    async def main() -> None:
        stand, one = Stand(), Sink()
        stand.join(one)
        stand.feed.leave(one)
        stand.feed.retire()
        stand.publish()
        await asyncio.sleep(60)
        assert one.bodies == []
        assert stand.feed.slot is None
        assert not stand.topic.followers

    run(main())


class Loud:
    """A feed that notes when it is flushed."""

    def __init__(self, notes: list[str], name: str, deliveries: int) -> None:
        self.notes, self.name, self.deliveries = notes, name, deliveries

    async def flush(self) -> int:
        self.notes.append(self.name)
        return self.deliveries


def flushed(feeds_: Sequence[Loud]) -> Flusher:
    """Return a flusher that has these to flush."""
    flusher = Flusher()
    for loud in feeds_:
        flusher.add(loud)  # type: ignore[arg-type]
    return flusher


def test_many_small_feeds_do_not_keep_the_loop() -> None:
    """The flusher counts deliveries across feeds, and gives the loop a turn after so many."""

    async def main() -> None:
        notes: list[str] = []
        flushed([Loud(notes, str(number), feeds.SLICE // 2) for number in range(6)])
        counts = []
        while len(notes) < 6:
            await asyncio.sleep(0)
            counts.append(len(notes))
        assert counts == [2, 4, 6]

    run(main())


def test_a_closed_flusher_flushes_no_more() -> None:
    """What was under way is waited for, what was noted is not begun."""

    async def main() -> None:
        notes: list[str] = []
        flusher = flushed([Loud(notes, str(number), feeds.SLICE) for number in range(4)])
        await asyncio.sleep(0)
        await flusher.close()
        assert notes == ["0"]
        await flusher.close()

    run(main())


class CountedNumbering(Numbering):
    """Counts how often it is asked for blocks."""

    asked = 0

    def frames(self, items: Iterable[Item], vector: Vector) -> tuple[list[bytes], Vector]:
        """Return the blocks."""
        CountedNumbering.asked += 1
        return super().frames(items, vector)


def test_telling_many_feeds_of_an_event_encodes_nothing() -> None:
    """One topic may be in thousands of feeds: what costs is done by their flushes, with turns in between."""

    async def main() -> None:
        stand = Stand()
        feeds = [
            Feed([stand.topic], CountedNumbering(["t"], b""), None, HEARTBEAT, stand.flusher.add, stand.counters)
            for _ in range(300)
        ]
        sinks = [Sink() for _ in feeds]
        for feed, sink in zip(feeds, sinks, strict=True):
            feed.join(sink)
        CountedNumbering.asked = 0
        stand.publish()
        assert CountedNumbering.asked == 0
        await turns(1)
        assert 0 < CountedNumbering.asked < len(feeds)
        await turns()
        assert CountedNumbering.asked == len(feeds)
        assert all(seen(sink) == [1] for sink in sinks)

    run(main())
