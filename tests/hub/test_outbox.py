"""`publish_soon`: what waits in memory is published in order, once, or told to be given up."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

import pytest

from tests.hub.support import OddLog, engine_of, run, until
from unbroken.errors import ConfigurationError, EncodeError, LogUnavailable, OutboxFull, TopicClosed
from unbroken.hub import Hub, Outbox, Retention, Unpublished
from unbroken.hub.outbox import BATCH_EVENTS


async def kept(log: OddLog, topic: str) -> list[str]:
    """Return the data of all that is in a topic."""
    page = await log.inner.read(topic, 0, 10_000)
    return [entry.payload.decode().removeprefix("data: ").rstrip("\n") for entry in page.entries]


def test_events_are_published_in_order() -> None:
    """Of each topic; those that wait together go together."""

    async def main() -> None:
        log = OddLog()
        async with Hub(log) as hub:
            for number in range(200):
                hub.publish_soon("t", number)
                hub.publish_soon("u", -number)
            assert hub.stats().waiting == 400
            await hub.flush()
            assert await kept(log, "t") == [str(number) for number in range(200)]
            assert await kept(log, "u") == [str(-number) for number in range(200)]
            assert log.calls["append"] == 2 * -(-200 // BATCH_EVENTS)
            assert (hub.stats().waiting, hub.stats().published, hub.stats().unpublished) == (0, 400, 0)

    run(main())


def test_what_waits_goes_out_when_the_log_is_back() -> None:
    """Once, also where an append was made and its answer was lost."""

    async def main() -> None:
        log = OddLog()
        async with Hub(log) as hub:
            await hub.open()
            lost = 2

            async def lose(method: str, topic: str) -> None:
                nonlocal lost
                if method == "append" and lost:
                    lost -= 1
                    drafts, key = seen[-1]
                    await log.inner.append(topic, drafts, key=key)
                    raise LogUnavailable("the answer was lost")

            seen: list[Any] = []
            inner = log.append

            async def append(topic: str, drafts: Any, **more: Any) -> Any:
                seen.append((drafts, more["key"]))
                return await inner(topic, drafts, **more)

            log.append, log.before = append, lose  # type: ignore[method-assign]
            for number in range(5):
                hub.publish_soon("t", number)
            await hub.flush()
            assert len(seen) == 3
            assert await kept(log, "t") == [str(number) for number in range(5)]

    run(main())


def test_a_key_of_ones_own_is_kept() -> None:
    """Such an event goes alone; one that was published already is a duplicate."""

    async def main() -> None:
        log = OddLog()
        async with Hub(log) as hub:
            first = await hub.publish("t", "a", key="k")
            for data, key in (("b", None), ("a", "k"), ("c", None), ("d", None)):
                hub.publish_soon("t", data, key=key)
            await hub.flush()
            assert await kept(log, "t") == ["a", "b", "c", "d"]
            assert await hub.publish("t", "a", key="k") == first
            assert hub.stats().duplicates == 2

    run(main())


def test_a_full_outbox_takes_nothing() -> None:
    """By events and by bytes: the error says how many wait, the bounds, and what to do."""

    async def main() -> None:
        log = OddLog()
        async with Hub(log, outbox=Outbox(max_events=3, max_bytes=100)) as hub:
            log.away = True
            hub.publish_soon("t", "x" * 60)
            with pytest.raises(OutboxFull, match=r"1 events of 67 bytes wait .* room for 3 and 100: await flush"):
                hub.publish_soon("t", "x" * 60)
            hub.publish_soon("t", "2")
            hub.publish_soon("t", "3")
            with pytest.raises(OutboxFull):
                hub.publish_soon("t", "4")
            log.away = False
            await hub.flush()
            hub.publish_soon("t", "4")
            await hub.flush()
            assert await kept(log, "t") == ["x" * 60, "2", "3", "4"]

    run(main())


def test_what_grows_too_old_is_given_up_and_told(caplog: pytest.LogCaptureFixture) -> None:
    """To the log, to the statistics, and to whoever asked; one whose telling fails holds up no other."""
    told: list[Unpublished] = []

    def tell(unpublished: Unpublished) -> None:
        told.append(unpublished)
        raise RuntimeError("a mistake of the application's")

    async def main() -> None:
        log = OddLog()
        async with Hub(log, outbox=Outbox(max_age=60.0, on_unpublished=tell)) as hub:
            log.away = True
            hub.publish_soon("t", {"n": 1}, event="e")
            hub.publish_soon("t", {"n": 2}, key="k")
            await until(lambda: hub.stats().unpublished == 2)
            assert asyncio.get_running_loop().time() == pytest.approx(60.0, abs=0.2)
            assert (hub.stats().waiting, len(engine_of(hub).outbox)) == (0, 0)
            log.away = False
            hub.publish_soon("t", "later")
            await hub.flush()
            assert await kept(log, "t") == ["later"]

    with caplog.at_level(logging.ERROR, "unbroken"):
        run(main())
    assert [(one.data, one.event, one.key) for one in told] == [({"n": 1}, "e", None), ({"n": 2}, None, "k")]
    assert all(isinstance(one.error, LogUnavailable) for one in told)
    assert sum("are given up: the log is away" in record.message for record in caplog.records) == 2
    assert sum("on_unpublished of a hub's outbox failed" in record.message for record in caplog.records) == 2


def test_nothing_is_tried_for_longer_than_keys_are_remembered() -> None:
    """Or it might be published twice."""

    async def main() -> None:
        log = OddLog()
        async with Hub(log, retention=Retention(key_age=5.0), outbox=Outbox(max_age=60.0)) as hub:
            log.away = True
            hub.publish_soon("t", "x")
            await until(lambda: hub.stats().unpublished == 1, timeout=6.0)

    run(main())


def test_what_a_closed_topic_refuses_is_given_up() -> None:
    """And what comes behind it, each for itself."""
    told: list[Unpublished] = []

    async def main() -> None:
        log = OddLog()
        async with Hub(log, outbox=Outbox(on_unpublished=told.append)) as hub:
            await hub.publish("t", "last", close=True)
            hub.publish_soon("t", "more")
            hub.publish_soon("u", "other")
            await hub.flush()
            assert await kept(log, "u") == ["other"]

    run(main())
    assert [(one.topic, type(one.error)) for one in told] == [("t", TopicClosed)]


def test_closing_the_hub_publishes_what_waits() -> None:
    """If the log is there; else it is given up, and told."""
    told: list[Unpublished] = []

    async def main() -> None:
        log = OddLog()
        async with Hub(log, outbox=Outbox(on_unpublished=told.append)) as hub:
            hub.publish_soon("t", "x")
        async with hub:
            assert await kept(log, "t") == ["x"]
            log.away = True
            hub.publish_soon("t", "y")
        assert hub.stats().unpublished == 1

    run(main())
    assert [one.data for one in told] == ["y"]


def test_whatever_an_append_raises_those_behind_it_are_published() -> None:
    """An error that nobody thought of gives up its batch, and no other; a key that is no text is refused at once."""
    told: list[Unpublished] = []

    async def main() -> None:
        log = OddLog()
        async with Hub(log, outbox=Outbox(on_unpublished=told.append)) as hub:
            with pytest.raises(ConfigurationError, match="cannot be written as UTF-8"):
                hub.publish_soon("t", "x", key="\ud800")

            async def fail(method: str, topic: str) -> None:
                if method == "append" and not told:
                    raise ZeroDivisionError

            log.before = fail
            for data, key in (("a", "1"), ("b", "2"), ("c", None)):
                hub.publish_soon("t", data, key=key)
            await hub.flush()
            assert await kept(log, "t") == ["b", "c"]
            assert len(engine_of(hub).outbox) == 0

    run(main())
    assert [(one.data, type(one.error)) for one in told] == [("a", ZeroDivisionError)]


def test_the_young_are_not_given_up_with_the_old() -> None:
    """Each has its own time, give or take a tenth."""
    told: list[tuple[Any, float]] = []

    async def main() -> None:
        log = OddLog()
        outbox = Outbox(max_age=60.0, on_unpublished=lambda one: told.append((one.data, now())))
        async with Hub(log, outbox=outbox) as hub:
            log.away = True
            for number in range(6):
                hub.publish_soon("t", number)
                await asyncio.sleep(10.0)
            await until(lambda: len(told) == 6)

    def now() -> float:
        return asyncio.get_running_loop().time()

    run(main())
    assert [data for data, _ in told] == list(range(6))
    assert all(10.0 * number + 54.0 <= at <= 10.0 * number + 60.1 for number, at in told)


def test_nothing_is_tried_when_its_time_is_over() -> None:
    """Also where it had to wait for its turn among many topics: a key that is forgotten meanwhile publishes twice."""
    tried: dict[str, list[float]] = {}

    async def main() -> None:
        log = OddLog()
        async with Hub(log, retention=Retention(key_age=10.0)) as hub:

            async def slow(method: str, topic: str) -> None:
                if method == "append":
                    tried.setdefault(topic, []).append(asyncio.get_running_loop().time())
                    await asyncio.sleep(4.0)
                    raise LogUnavailable("no answer")

            log.before = slow
            for number in range(100):
                hub.publish_soon(f"t{number}", "x")
            await until(lambda: hub.stats().unpublished == 100)

    run(main())
    assert tried
    assert all(at <= 9.0 for times in tried.values() for at in times)


def test_a_busy_topic_does_not_hold_up_flush() -> None:
    """It waits for what was handed over before, and for nothing that comes later."""

    async def main() -> None:
        log = OddLog()
        async with Hub(log) as hub:

            async def slow(method: str, topic: str) -> None:
                await asyncio.sleep(0.1)

            log.before = slow

            async def go_on() -> None:
                while True:
                    hub.publish_soon("t", "x")
                    await asyncio.sleep(0.01)

            going_on = asyncio.create_task(go_on())
            await asyncio.sleep(2.0)
            await hub.flush(5.0)
            going_on.cancel()
            assert hub.stats().waiting > 0

    run(main())


def test_what_waits_on_a_loop_that_has_ended_is_told() -> None:
    """The hub is moved to another loop: what the first one had not published is given up."""
    told: list[Unpublished] = []
    log = OddLog()
    hub = Hub(log, outbox=Outbox(on_unpublished=told.append))

    async def first() -> None:
        await hub.open()
        log.away = True
        for number in range(10):
            hub.publish_soon("t", number)
        await asyncio.sleep(0.01)

    async def second() -> None:
        log.away = False
        await hub.publish("t", "after")
        assert hub.stats().waiting == 0
        await hub.close()

    asyncio.run(first())
    asyncio.run(second())
    assert [one.data for one in told] == list(range(10))
    assert hub.stats().unpublished == 10


def test_flush_says_that_something_waits_still() -> None:
    """After its time; what waits is published later all the same."""

    async def main() -> None:
        log = OddLog()
        async with Hub(log) as hub:
            log.away = True
            hub.publish_soon("t", "x")
            with pytest.raises(LogUnavailable, match=r"1 events were not published within 0\.5 s, and wait still"):
                await hub.flush(0.5)
            log.away = False
            await hub.flush()
            await hub.flush()
            assert await kept(log, "t") == ["x"]

    run(main())


def test_it_needs_an_open_hub_and_an_event() -> None:
    """It cannot open the hub, for it does not wait; what is none is refused as in `publish`."""

    async def main() -> None:
        hub = Hub("memory://")
        with pytest.raises(ConfigurationError, match=r"not open on this event loop: use hub\.lifespan"):
            hub.publish_soon("t", "x")
        async with hub:
            for topic, data, error in (("", "x", ConfigurationError), ("t", b"x", EncodeError)):
                with pytest.raises(error):
                    hub.publish_soon(topic, data)
            assert hub.stats().waiting == 0
            with pytest.raises(ConfigurationError, match="not open on this event loop"):
                await asyncio.to_thread(hub.publish_soon, "t", "x")

    run(main())


@pytest.mark.parametrize(
    "bounds", [{"max_events": 0}, {"max_bytes": -1}, {"max_age": float("nan")}, {"max_events": "9"}]
)
def test_what_is_no_bound_is_refused(bounds: dict[str, Any]) -> None:
    """With its name and its value."""
    with pytest.raises(ConfigurationError, match="of the outbox is no bound: give a number above 0"):
        Outbox(**bounds)
