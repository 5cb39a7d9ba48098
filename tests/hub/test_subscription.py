"""`Hub.subscribe`: topics for code, as an asynchronous iterator."""

from __future__ import annotations

import asyncio
import gc
from typing import Any

import pytest

from tests.hub.support import OddLog, engine_of, run, turns
from unbroken.errors import ConfigurationError, LogUnavailable, StreamGap
from unbroken.hub import Event, Gap, GapReason, Hub, Subscription
from unbroken.hub.topics import LINGER


async def taken(subscription: Subscription, count: int) -> list[str]:
    """Return the data of the next events."""
    async with asyncio.timeout(1000):
        return [(await anext(subscription)).data for _ in range(count)]


async def publish(hub: Hub, *texts: str, topic: str = "t", **arguments: Any) -> None:
    """Publish some."""
    for text in texts:
        await hub.publish(topic, text, **arguments)


def test_it_returns_what_comes() -> None:
    """From where it was entered; each event with its topic, its position, its type and its data."""

    async def main() -> None:
        async with Hub("memory://") as hub:
            await publish(hub, "before")
            async with hub.subscribe("t") as subscription:
                position = await hub.publish("t", {"n": 1}, event="count")
                event = await anext(subscription)
                assert isinstance(event, Event)
                assert (event.topic, event.position, event.id) == ("t", position, str(position))
                assert (event.event, event.data, event.json()) == ("count", '{"n":1}', {"n": 1})
                waiting = asyncio.create_task(taken(subscription, 2))
                await turns()
                await publish(hub, "a", "b")
                assert await waiting == ["a", "b"]

    run(main())


def test_it_begins_where_it_is_told() -> None:
    """Behind a position or an event's id, at the oldest, or with a backlog."""

    async def main() -> None:
        async with Hub("memory://") as hub:
            positions = [await hub.publish("t", str(number)) for number in range(5)]
            for arguments, expected in (
                ({"after": positions[2]}, ["3", "4"]),
                ({"after": str(positions[3])}, ["4"]),
                ({"after": "earliest"}, ["0", "1", "2", "3", "4"]),
                ({"backlog": 2}, ["3", "4"]),
            ):
                async with hub.subscribe("t", **arguments) as subscription:
                    assert await taken(subscription, len(expected)) == expected

    run(main())


def test_it_ends_with_its_topics() -> None:
    """When all of them are closed and read; it lets go of them, and stays at its end."""

    async def main() -> None:
        async with Hub("memory://") as hub:
            subscription = hub.subscribe("a", "b", after="earliest")
            await publish(hub, "a0", "a1", topic="a")
            await publish(hub, "b0", topic="b", close=True)
            await publish(hub, "a2", topic="a", close=True)
            got = [event.data async for event in subscription]
            assert sorted(got) == ["a0", "a1", "a2", "b0"]
            assert [event async for event in subscription] == []
            assert all(topic.users == 0 and not topic.followers for topic in engine_of(hub).topics)

    run(main())


def test_who_waits_is_told_of_the_end() -> None:
    """A topic that is closed while somebody waits for its next event ends the loop."""

    async def main() -> None:
        async with Hub("memory://") as hub:

            async def consume() -> list[str]:
                return [event.data async for event in hub.subscribe("t")]

            waiting = asyncio.create_task(consume())
            await turns()
            await publish(hub, "last", close=True)
            assert await asyncio.wait_for(waiting, 100) == ["last"]

    run(main())


def test_a_gap_is_raised_and_iterating_goes_on_behind_it() -> None:
    """Nobody misses it by not looking; its facts are in `.gap`."""

    async def main() -> None:
        log = OddLog()
        async with Hub(log) as hub:
            first = await hub.publish("t", "0")
            await publish(hub, *map(str, range(1, 10)))
            await log.keep_newest("t", 2)
            async with hub.subscribe("t", after=first) as subscription:
                with pytest.raises(StreamGap, match=r"events are gone: 7 events of topic 't' \(trimmed\)") as caught:
                    await anext(subscription)
                assert isinstance(caught.value.gap, Gap)
                assert caught.value.gap.reason is GapReason.TRIMMED
                assert await taken(subscription, 2) == ["8", "9"]
                assert subscription.gaps == 1

    run(main())


@pytest.mark.parametrize(("on_gap", "expected"), [("continue", ["8", "9", "live"]), ("latest", ["live"])])
def test_a_gap_can_be_counted_instead(on_gap: Any, expected: list[str]) -> None:
    """It goes on with what there is, or with what comes next."""

    async def main() -> None:
        log = OddLog()
        async with Hub(log) as hub:
            first = await hub.publish("t", "0")
            await publish(hub, *map(str, range(1, 10)))
            await log.keep_newest("t", 2)
            async with hub.subscribe("t", after=first, on_gap=on_gap) as subscription:
                await publish(hub, "live")
                assert await taken(subscription, len(expected)) == expected
                assert subscription.gaps == 1

    run(main())


def test_a_gap_while_it_waits_is_met_in_its_place() -> None:
    """A log that loses its history under a loop that waits."""

    async def main() -> None:
        log = OddLog()
        async with Hub(log) as hub, hub.subscribe("t") as subscription:
            await publish(hub, "old")
            assert await taken(subscription, 1) == ["old"]
            waiting = asyncio.create_task(taken(subscription, 1))
            await turns()
            log.lose()
            await log.add("t", "new")
            with pytest.raises(StreamGap, match="epoch"):
                await waiting
            assert await taken(subscription, 1) == ["new"]

    run(main())


def test_its_position_leads_on() -> None:
    """What continues behind the last event that was returned, with one topic and with several."""

    async def main() -> None:
        async with Hub("memory://") as hub:
            for topics in (("t",), ("t", "u")):
                subscription = hub.subscribe(*topics)
                assert subscription.position is None
                async with subscription:
                    await publish(hub, "0", "1", "2")
                    await taken(subscription, 2)
                    here = subscription.position
                async with hub.subscribe(*topics, after=here) as subscription:
                    assert await taken(subscription, 1) == ["2"]

    run(main())


def test_a_filter_passes_what_is_wanted() -> None:
    """What is passed over is not returned, and not read again."""

    async def main() -> None:
        def wanted(event: Event) -> bool:
            return event.event == "yes"

        async with Hub("memory://") as hub, hub.subscribe("t", filter=wanted) as subscription:
            await publish(hub, "0", "1", event="no")
            await publish(hub, "2", event="yes")
            assert await taken(subscription, 1) == ["2"]
            waiting = asyncio.create_task(taken(subscription, 1))
            passed = await hub.publish("t", "3", event="no")
            await turns()
            assert subscription.position == str(passed)
            await publish(hub, "4", event="yes")
            assert await waiting == ["4"]

    run(main())


def test_who_is_slow_reads_from_the_log() -> None:
    """It holds no events: a thousand that came meanwhile are all there, in order."""

    async def main() -> None:
        async with Hub("memory://") as hub, hub.subscribe("t") as subscription:
            await publish(hub, *map(str, range(1000)))
            assert await taken(subscription, 1000) == list(map(str, range(1000)))
            assert len(subscription._items) == 0

    run(main())


def test_breaking_out_of_the_loop_releases_the_topics() -> None:
    """Without a context manager and without `aclose()`, as most people write it."""

    async def main() -> None:
        async with Hub("memory://") as hub:
            await publish(hub, "0", "1")

            async def first() -> str:
                async for event in hub.subscribe("t", after="earliest"):
                    return event.data
                raise AssertionError

            assert await first() == "0"
            gc.collect()
            await turns()
            (topic,) = engine_of(hub).topics
            assert topic.users == 0
            assert not topic.followers
            await asyncio.sleep(LINGER + 1)
            assert hub.stats().topics == 0

    run(main())


def test_a_task_that_is_cancelled_while_it_waits_releases_the_topics() -> None:
    """The loop's own end, by a cancellation."""

    async def main() -> None:
        async with Hub("memory://") as hub:

            async def consume() -> None:
                async with hub.subscribe("t") as subscription:
                    async for _ in subscription:
                        pass

            task = asyncio.create_task(consume())
            await turns()
            (topic,) = engine_of(hub).topics
            assert topic.users == 1
            task.cancel()
            await asyncio.wait([task])
            assert topic.users == 0
            assert not topic.followers

    run(main())


def test_closing_the_hub_ends_it() -> None:
    """Code that waits for the next event is not left waiting for ever; nor is code that comes later."""

    async def main() -> None:
        async with Hub("memory://") as hub:

            async def consume() -> list[str]:
                return [event.data async for event in hub.subscribe("t")]

            waiting, idle = asyncio.create_task(consume()), hub.subscribe("t")
            async with idle:
                await turns()
                await publish(hub, "x")
                await taken(idle, 1)
                await hub.close()
                assert await asyncio.wait_for(waiting, 100) == ["x"]
                assert [event async for event in idle] == []

    run(main())


def test_a_log_that_is_away_is_raised_and_can_be_asked_again() -> None:
    """Neither a place nor a topic is lost by it."""

    async def main() -> None:
        log = OddLog()
        async with Hub(log) as hub:
            subscription = hub.subscribe("t", after="earliest")
            await publish(hub, *map(str, range(400)))
            log.away = True
            with pytest.raises(LogUnavailable):
                await anext(subscription)
            log.away = False
            got = await taken(subscription, 128)
            log.away = True
            with pytest.raises(LogUnavailable):
                got += await taken(subscription, 1)
            log.away = False
            assert got + await taken(subscription, 272) == list(map(str, range(400)))
            (topic,) = engine_of(hub).topics
            assert topic.users == 1
            await subscription.aclose()
            assert topic.users == 0

    run(main())


def test_arguments_are_checked_when_it_is_made() -> None:
    """Not at the first step, somewhere else."""
    hub = Hub("memory://")
    for arguments, words in (
        ({"on_gap": "close"}, "on_gap='close' is not known: give 'raise', 'continue' or 'latest'"),
        ({"after": "now"}, "after='now' is no position"),
        ({"backlog": -1}, "backlog=-1"),
        ({"filter": 1}, "filter=1"),
    ):
        with pytest.raises(ConfigurationError, match=words):
            hub.subscribe("t", **arguments)
    with pytest.raises(ConfigurationError, match="0 topics"):
        hub.subscribe()
