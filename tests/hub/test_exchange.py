"""What can be seen of a stream while a feed writes it."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from tests.hub.support import Endpoint, engine_of, opened, run, stepped, until
from unbroken.hub import Hub
from unbroken.wire import HEARTBEAT


@pytest.mark.parametrize("way", [pytest.param(lambda app: app, id="woken"), pytest.param(stepped, id="stepped")])
def test_a_live_stream_is_counted_while_it_is_open(way: Any) -> None:
    """Events, heartbeats, bytes and the last write are right at every moment, and not only on record at the end."""

    async def main() -> None:
        async with Hub("memory://") as hub, opened(way(Endpoint(hub, "t"))) as stream:
            await until(lambda: hub.stats().live == 1)
            (subscriber,) = engine_of(hub).subscribers
            exchange, loop = subscriber.exchange, asyncio.get_running_loop()
            for number in range(1, 4):
                await hub.publish("t", number)
                await stream.events(1)
                assert (exchange.events, exchange.sent_bytes) == (number, len(stream.received))
                assert exchange.last_write == loop.time()
                await asyncio.sleep(16)
                assert stream.received.endswith(HEARTBEAT)
                assert (exchange.heartbeats, exchange.sent_bytes) == (number, len(stream.received))
                assert 0.5 < loop.time() - exchange.last_write <= 1

    run(main())


def test_a_stream_that_joined_late_counts_from_its_own_beginning() -> None:
    """What the feed wrote for others before is not its own."""

    async def main() -> None:
        async with Hub("memory://") as hub:
            early, late = Endpoint(hub, "t"), Endpoint(hub, "t")
            async with opened(stepped(early)) as one:
                await until(lambda: hub.stats().live == 1)
                for number in range(5):
                    await hub.publish("t", number)
                    await one.events(1)
                async with opened(stepped(late)) as two:
                    await until(lambda: hub.stats().live == 2)
                    await hub.publish("t", 5)
                    await one.events(1)
                    await two.events(1)
                    received = two.received
            assert (early.record.events, late.record.events) == (6, 1)
            assert late.record.sent_bytes == len(received)

    run(main())


@pytest.mark.parametrize("way", [pytest.param(lambda app: app, id="woken"), pytest.param(stepped, id="stepped")])
def test_the_record_of_a_live_stream_says_how_silent_it_was(way: Any) -> None:
    """An hour with a heartbeat every 15 seconds was never silent for longer."""

    async def main() -> None:
        async with Hub("memory://") as hub:
            app = Endpoint(hub, "t", heartbeat=15.0)
            async with opened(way(app), buffer_messages=1000):
                await asyncio.sleep(3600)
            assert app.record.heartbeats in (239, 240)
            assert 14 < app.record.longest_silence < 17
            assert 0 <= app.record.last_silence < 17

    run(main())


def test_silences_of_each_time_that_a_stream_was_live_are_compared() -> None:
    """Without heartbeats, and with a break in between: the longest stays, and the last is that before the end."""

    async def main() -> None:
        async with Hub("memory://") as hub:
            app = Endpoint(hub, "t", heartbeat=None)
            async with opened(stepped(app)) as stream:
                for silence in (10, 100, 20):
                    await until(lambda: hub.stats().live == 1)
                    await asyncio.sleep(silence)
                    await hub.publish("t", silence)
                    await stream.events(1)
                    for subscriber in tuple(engine_of(hub).subscribers):
                        subscriber.break_off()
                await asyncio.sleep(30)
            assert 99 < app.record.longest_silence < 101
            assert 29 < app.record.last_silence < 31

    run(main())
