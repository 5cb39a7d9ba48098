"""Readers that were live and fell behind: what each policy gives them, and what it counts."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from tests.hub.support import Endpoint, OddLog, opened, run, stepped, until
from unbroken.errors import CloseReason, LogUnavailable
from unbroken.hub import Hub
from unbroken.hub.gap import Gap
from unbroken.hub.numbering import Item
from unbroken.hub.overflow import Overrun, read_behind
from unbroken.hub.reader import Reader
from unbroken.hub.reading import Reading
from unbroken.testing.driven_stream import DrivenStream


async def reader_of(hub: Hub, *topics: str) -> Reader:
    """Return a reader that begins now."""
    engine = await hub._home.open()
    return await engine.open_reader(hub._numbering(*topics), "continue")


def data(items: Any) -> list[str]:
    """Return the texts of events; of a gap its reason and count."""
    return [f"{item.reason} {item.missed}" if isinstance(item, Gap) else item.data for item in items]


async def fallen(stream: DrivenStream, hub: Hub, count: int, **fields: Any) -> None:
    """Publish while the client takes nothing, each event in a flush of its own at first."""
    await until(lambda: hub.stats().live == 1)
    stream.freeze()
    for number in range(count):
        await hub.publish("t", str(number), **fields)
        await asyncio.sleep(0.01)
    assert hub.stats().behind == 1


def test_resume_gives_everything() -> None:
    """The default: the log is read, however far behind; nothing is dropped and no gap told."""

    async def main() -> None:
        async with Hub("memory://") as hub:
            async with opened(stepped(Endpoint(hub, "t", max_lag=1, send_timeout=None)), buffer_messages=0) as stream:
                await fallen(stream, hub, 700)
                stream.thaw()
                assert [event.data for event in await stream.events(700)] == [str(number) for number in range(700)]
            stats = hub.stats()
            assert (stats.dropped, stats.conflated, dict(stats.gaps), stats.demotions) == (0, 0, {}, 1)

    run(main())


def test_drop_oldest_tells_of_what_it_passes_over() -> None:
    """The newest `max_lag` events come, behind a gap that says exactly what is missing; both are counted."""

    async def main() -> None:
        async with Hub("memory://") as hub:
            app = Endpoint(hub, "t", overflow="drop_oldest", max_lag=10, send_timeout=None)
            async with opened(stepped(app), buffer_messages=0) as stream:
                await fallen(stream, hub, 700)
                stream.thaw()
                first, gap, *rest = await stream.events(12)
                told = json.loads(gap.data)
                assert first.data == "0"  # was on its way when the client stopped
                assert told["reason"] == "overflow"
                assert told["after"] == first.last_event_id
                assert told["missed"] == 689
                assert told["next"] == rest[0].last_event_id
                assert [event.data for event in rest] == [str(number) for number in range(690, 700)]
                await until(lambda: hub.stats().live == 1)
                await hub.publish("t", "live")
                assert (await stream.next_event()).data == "live"
            assert app.record.events == 13
            stats = hub.stats()
            assert (stats.dropped, stats.gaps) == (689, {"overflow": 1})

    run(main())


@pytest.mark.parametrize("overflow", ["drop_oldest", "conflate", "close"])
def test_a_burst_is_no_fault_of_the_clients(overflow: str) -> None:
    """More than a flush takes is read from the log by all who were live, each event, whatever their `overflow`."""

    async def main() -> None:
        async with Hub("memory://") as hub:
            app = Endpoint(hub, "t", overflow=overflow, max_lag=10)
            async with opened(stepped(app)) as stream:
                await until(lambda: hub.stats().live == 1)
                for number in range(600):
                    await hub.publish("t", f"{number} " + "x" * 3000)
                received = await stream.events(600)
                assert [int(event.data.split()[0]) for event in received] == list(range(600))
            stats = hub.stats()
            assert (stats.dropped, stats.conflated, stats.gaps) == (0, 0, {})

    run(main())


def test_drop_oldest_within_its_bound_drops_nothing() -> None:
    """A lag of exactly `max_lag` is none too many."""

    async def main() -> None:
        async with Hub("memory://") as hub:
            reader = await reader_of(hub, "t")
            reading = Reading(overflow="drop_oldest", max_lag=10)
            for number in range(10):
                await hub.publish("t", str(number))
            assert data(await read_behind(reader, reading, hub._counters)) == [str(number) for number in range(10)]
            for number in range(11):
                await hub.publish("t", str(number))
            assert data(await read_behind(reader, reading, hub._counters)) == ["overflow 1"]
            assert data(await read_behind(reader, reading, hub._counters)) == [str(number) for number in range(1, 11)]

    run(main())


def test_drop_oldest_gives_each_topic_its_share() -> None:
    """A gap for each topic that has lost something; one within its share keeps all."""

    async def main() -> None:
        async with Hub("memory://") as hub:
            reader = await reader_of(hub, "a", "b", "c")
            for number in range(50):
                await hub.publish("a", f"a{number}")
                await hub.publish("b", f"b{number}")
            await hub.publish("c", "c0")
            gaps = await read_behind(reader, Reading(overflow="drop_oldest", max_lag=6), hub._counters)
            assert data(gaps) == ["overflow 48", "overflow 48"]
            rest = [item for _ in range(3) for item in await reader.read()]
            assert sorted(data(rest)) == ["a48", "a49", "b48", "b49", "c0"]
            assert hub.stats().dropped == 96

    run(main())


def test_drop_oldest_loses_no_gap_to_a_log_that_goes_away() -> None:
    """What was passed over in one topic is told, though the log fails at the next: else it were a silent hole."""

    async def main() -> None:
        log = OddLog()
        async with Hub(log) as hub:
            reader = await reader_of(hub, "a", "b")
            for number in range(50):
                await hub.publish("a", f"a{number}")
                await hub.publish("b", f"b{number}")

            async def fail(method: str, topic: str) -> None:
                if topic == "b":
                    raise LogUnavailable("away")

            log.before = fail
            reading, got = Reading(overflow="drop_oldest", max_lag=4), list[Item]()
            for attempt in range(10):
                log.before = fail if attempt < 3 else None
                try:
                    got += await read_behind(reader, reading, hub._counters)
                except LogUnavailable:
                    continue
            gaps = [item for item in got if isinstance(item, Gap)]
            assert [(gap.topic, gap.missed) for gap in gaps] == [("a", 48), ("b", 48)]
            assert sorted(item.data for item in got if not isinstance(item, Gap)) == ["a48", "a49", "b48", "b49"]

    run(main())


def test_conflate_keeps_the_last_event_of_each_key() -> None:
    """In the order of their publishing; the others are counted, and the last id leads on."""

    async def main() -> None:
        async with Hub("memory://") as hub:
            app = Endpoint(
                hub, "t", overflow="conflate", conflate_by=lambda event: event.json()["of"], send_timeout=None
            )
            async with opened(stepped(app), buffer_messages=0) as stream:
                await until(lambda: hub.stats().live == 1)
                stream.freeze()
                await hub.publish("t", {"of": "x", "n": -1})
                await until(lambda: hub.stats().behind == 1)
                for number in range(300):
                    last = await hub.publish("t", {"of": "abc"[number % 3], "n": number})
                await hub.publish("t", {"of": "b", "n": 300})
                stream.thaw()
                _, *events = await stream.events(4)
                assert [json.loads(event.data) for event in events] == [
                    {"of": "a", "n": 297}, {"of": "c", "n": 299}, {"of": "b", "n": 300},
                ]  # fmt: skip
                assert events[1].last_event_id == str(last)
                await until(lambda: hub.stats().live == 1)
            assert hub.stats().conflated == 298
            assert hub.stats().gaps == {}
            async with opened(app, events[-1].last_event_id) as stream:
                assert stream.headers["stream-resume"] == "complete"

    run(main())


def test_conflate_goes_by_topic_and_type_where_nothing_is_said() -> None:
    """Events of one type of one topic take each other's place."""

    async def main() -> None:
        async with Hub("memory://") as hub:
            reader = await reader_of(hub, "a", "b")
            for number in range(20):
                await hub.publish("a", f"a{number}", event="x" if number % 2 else "y")
                await hub.publish("b", f"b{number}")
            items = await read_behind(reader, Reading(overflow="conflate"), hub._counters)
            assert sorted(data(items)) == ["a18", "a19", "b19"]
            assert reader.is_current()

    run(main())


def test_conflate_is_bounded_and_keeps_gaps() -> None:
    """It holds about `max_lag` keys at once; a gap is in its place."""

    async def main() -> None:
        log = OddLog()
        async with Hub(log) as hub:
            reader = await reader_of(hub, "t")
            for number in range(1000):
                await hub.publish("t", str(number))
            await log.keep_newest("t", 600)
            reader.topics[0]._ring.clear()
            reading = Reading(overflow="conflate", max_lag=100, conflate_by=lambda event: event.data)
            got: list[str] = []
            while page := await read_behind(reader, reading, hub._counters):
                got += data(page)
                assert len(page) < 100 + 128 + 1
            assert got == ["trimmed 400", *(str(number) for number in range(400, 1000))]
            assert hub.stats().conflated == 0

    run(main())


def test_conflate_loses_nothing_to_a_log_that_goes_away() -> None:
    """What was read before it failed is given out, and the rest is read later."""

    async def main() -> None:
        log = OddLog()
        async with Hub(log) as hub:
            reader = await reader_of(hub, "t")
            for number in range(600):
                await hub.publish("t", str(number), event=str(number))
            reader.topics[0]._ring.clear()
            reads = 0

            async def fail(method: str, topic: str) -> None:
                nonlocal reads
                reads += 1
                if reads in (3, 4):
                    raise LogUnavailable("away")

            log.before, got = fail, list[str]()
            for _ in range(20):
                try:
                    got += data(await read_behind(reader, Reading(overflow="conflate"), hub._counters))
                except LogUnavailable:
                    continue
            assert got == [str(number) for number in range(600)]

    run(main())


def test_close_ends_the_stream_of_who_is_too_slow() -> None:
    """With `limit`; nothing is skipped, so the client comes back with its cursor and loses nothing."""

    async def main() -> None:
        async with Hub("memory://") as hub:
            app = Endpoint(hub, "t", overflow="close", max_lag=50, send_timeout=None)
            async with opened(stepped(app), buffer_messages=0) as stream:
                await fallen(stream, hub, 100)
                stream.thaw()
                events = await stream.until_end()
            assert [event.event for event in events] == ["message", "stream-end"]
            assert json.loads(events[-1].data) == {"reason": "limit"}
            assert app.record.reason is CloseReason.LIMIT
            async with opened(app, events[0].last_event_id) as stream:
                assert [event.data for event in await stream.events(99)] == [str(number) for number in range(1, 100)]

    run(main())


def test_close_spares_who_is_within_the_bound() -> None:
    """And raises for who is not, without having read anything."""

    async def main() -> None:
        async with Hub("memory://") as hub:
            reader = await reader_of(hub, "t")
            reading = Reading(overflow="close", max_lag=3)
            for number in range(3):
                await hub.publish("t", str(number))
            assert data(await read_behind(reader, reading, hub._counters)) == ["0", "1", "2"]
            for number in range(4):
                await hub.publish("t", str(number))
            before = reader.vector
            with pytest.raises(Overrun):
                await read_behind(reader, reading, hub._counters)
            assert reader.vector == before

    run(main())


@pytest.mark.parametrize("overflow", ["drop_oldest", "conflate", "close"])
def test_who_is_only_woken_is_not_too_slow(overflow: str) -> None:
    """Behind a middleware each flush wakes a stream to read for itself: that is no fault of its client's."""

    async def main() -> None:
        async with Hub("memory://") as hub:
            async with opened(Endpoint(hub, "t", overflow=overflow, max_lag=10)) as stream:
                for start in range(0, 100, 25):
                    await until(lambda: hub.stats().live == 1)
                    for number in range(start, start + 25):
                        await hub.publish("t", number)
                    received = await stream.events(25)
                    assert [int(event.data) for event in received] == list(range(start, start + 25))
            stats = hub.stats()
            assert (stats.dropped, stats.conflated, stats.gaps) == (0, 0, {})

    run(main())


def test_conflate_keeps_the_last_event_that_is_wanted() -> None:
    """One that the filter passes over does not take the place of one that it lets through."""

    async def main() -> None:
        async with Hub("memory://") as hub:
            reader = await reader_of(hub, "t")
            await hub.publish("t", "for me")
            await hub.publish("t", "for you")
            reading = Reading(overflow="conflate", conflate_by=lambda event: 1, filter=lambda e: e.data == "for me")
            assert data(await read_behind(reader, reading, hub._counters)) == ["for me"]

    run(main())


def test_conflate_keeps_the_last_event_of_each_topic() -> None:
    """Two topics with the same key: what was read last need not be what was published last."""

    async def main() -> None:
        async with Hub("memory://") as hub:
            reader = await reader_of(hub, "a", "b")
            for topic in "abab":
                await hub.publish(topic, f"{topic}'s")
            reading = Reading(overflow="conflate", conflate_by=lambda event: "key")
            assert sorted(data(await read_behind(reader, reading, hub._counters))) == ["a's", "b's"]
            assert hub.stats().conflated == 2

    run(main())


@pytest.mark.parametrize("kept", [20, 50])
def test_drop_oldest_leaves_a_rollback_to_the_reading(kept: int) -> None:
    """The log has less than was published, and this process has not looked: nothing was dropped, least of all < 0."""

    async def main() -> None:
        log = OddLog()
        async with Hub(log) as hub:
            reader = await reader_of(hub, "t")
            for number in range(100):
                if number == kept:
                    backup = log.kept()
                if number == 50:
                    while not reader.is_current():
                        await reader.read()
                await hub.publish("t", str(number))
            log.restore(backup)
            got: list[Item] = []
            for _ in range(10):
                got += await read_behind(reader, Reading(overflow="drop_oldest", max_lag=10), hub._counters)
            gaps = [item for item in got if isinstance(item, Gap)]
            assert all(gap.missed is None or gap.missed > 0 for gap in gaps)
            assert (hub.stats().dropped, hub.stats().gaps.get("overflow", 0)) == (0, 0)

    run(main())
