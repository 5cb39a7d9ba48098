"""What runs of a hub on its loop: feeds that are shared, and an end that does not wait for ever."""

from __future__ import annotations

import asyncio
from typing import Any

from tests.hub.support import Endpoint, engine_of, opened, run, stepped, until
from unbroken.hub import Hub
from unbroken.hub.engine import STOP_TIMEOUT


def test_streams_of_the_same_topics_and_heartbeat_share_a_feed() -> None:
    """Whatever the order of the topics; other ones have feeds of their own, and the last to leave retires it."""

    async def main() -> None:
        async with Hub("memory://") as hub:
            apps = [
                Endpoint(hub, "a", "b"),
                Endpoint(hub, "b", "a"),
                Endpoint(hub, "a"),
                Endpoint(hub, "a", heartbeat=5.0),
                Endpoint(hub, "a", heartbeat_event="beat"),
            ]
            feeds = engine_of(hub)._feeds
            async with opened(stepped(apps[0])):
                async with opened(stepped(apps[1])):
                    await until(lambda: hub.stats().live == 2)
                    assert [len(feed.members) for feed in feeds.values()] == [2]
                await until(lambda: hub.stats().live == 1)
                async with opened(apps[2]), opened(apps[3]), opened(apps[4]):
                    await until(lambda: hub.stats().live == 4)
                    assert [len(feed.members) for feed in feeds.values()] == [1, 1, 1, 1]
            await until(lambda: hub.stats().subscribers == 0)
            assert not feeds
            assert not any(topic.followers for topic in engine_of(hub).topics)

    run(main())


def test_a_stream_that_cannot_be_ended_does_not_hold_the_hub() -> None:
    """A client that takes nothing has a moment; then the hub is closed without it."""

    async def main() -> None:
        hub = Hub("memory://")
        await hub.open()
        app = Endpoint(hub, "t", drain_grace=1000.0, send_timeout=None)
        async with opened(stepped(app), buffer_messages=0) as stream:
            await until(lambda: hub.stats().live == 1)
            stream.freeze()
            await hub.publish("t", "x")
            await until(lambda: hub.stats().behind == 1)
            begin = asyncio.get_running_loop().time()
            await hub.close()
            assert asyncio.get_running_loop().time() - begin <= STOP_TIMEOUT + 1

    run(main())


def test_a_publisher_need_not_wait_for_the_slow() -> None:
    """Publishing returns when the log has the event: a client that takes nothing delays nobody."""

    async def main() -> None:
        async with Hub("memory://") as hub:
            apps: list[Any] = [stepped(Endpoint(hub, "t", send_timeout=None)) for _ in range(2)]
            async with opened(apps[0], buffer_messages=0) as frozen, opened(apps[1]) as reading:
                await until(lambda: hub.stats().live == 2)
                frozen.freeze()
                begin = asyncio.get_running_loop().time()
                for number in range(100):
                    await hub.publish("t", number)
                events = await reading.events(100)
                assert asyncio.get_running_loop().time() == begin, "no time passed: nothing had to be waited for"
                assert [event.data for event in events] == [str(number) for number in range(100)]
                frozen.thaw()
                assert len(await frozen.events(100)) == 100

    run(main())
