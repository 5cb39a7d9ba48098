"""The turn of the loop in which a stream goes live, and loops whose tasks begin before they are made."""

from __future__ import annotations

import asyncio
import random
import sys
from contextlib import AsyncExitStack
from typing import Any

import pytest

from tests.hub.support import Endpoint, engine_of, opened, run, stepped, turns, until
from unbroken.errors import CloseReason
from unbroken.hub import Hub
from unbroken.testing import StreamEnd

WAYS = (pytest.param(lambda app: app, id="woken"), pytest.param(stepped, id="stepped"))
FAREWELL = b'event: stream-end\ndata: {"reason":"revoked"}\n\n'
eager = pytest.mark.skipif(sys.version_info < (3, 12), reason="eager tasks came with Python 3.12")


def be_eager() -> None:
    """Let each task run in the line that makes it, up to its first wait."""
    asyncio.get_running_loop().set_task_factory(asyncio.eager_task_factory)  # type: ignore[attr-defined, unused-ignore]


def numbers(events: Any) -> list[int]:
    """Return what the events' data begin with."""
    return [int(event.data.split()[0]) for event in events]


@pytest.mark.parametrize("way", WAYS)
def test_events_may_come_in_any_turn_after_a_stream_went_live(way: Any) -> None:
    """The pump that has done its work is told of late; the one that runs then must not be taken for it."""

    async def main() -> None:
        async with Hub("memory://") as hub, AsyncExitStack() as held:
            apps = [Endpoint(hub, name) for name in "abc" * 5]
            streams = [await held.enter_async_context(opened(way(app), buffer_messages=1000)) for app in apps]
            await until(lambda: hub.stats().live == len(apps))

            async def publish(chance: random.Random) -> None:
                for number in range(60):
                    await hub.publish("abc"[number % 3], number)
                    await turns(chance.choice((0, 0, 1, 1, 2, 3)))

            await asyncio.gather(*(publish(random.Random(seed)) for seed in range(5)))
            for stream in streams:
                assert len(await stream.events(100)) == 100
            assert hub.stats().live == len(apps)
        assert [(app.record.reason, app.record.error) for app in apps] == [(CloseReason.CLIENT_CLOSED, None)] * len(
            apps
        )

    run(main())


@pytest.mark.parametrize("way", WAYS)
def test_a_stream_may_be_sent_away_in_any_turn(way: Any) -> None:
    """To look at the log: also in the turn in which it went live, before its pump is known to have ended."""

    async def main() -> None:
        async with Hub("memory://") as hub:
            for waited in range(30):
                app = Endpoint(hub, "t")
                async with opened(way(app), wait_for_start=False) as stream:
                    await turns(waited)
                    for subscriber in tuple(engine_of(hub).subscribers if hub._home.engine else ()):
                        if subscriber.is_live:
                            subscriber.break_off()
                    await until(lambda: hub.stats().live == 1)
                    await hub.publish("t", waited)
                    assert numbers(await stream.events(1)) == [waited]
            assert hub.stats().demotions > 10

    run(main())


@pytest.mark.parametrize("way", WAYS)
def test_a_stream_may_be_ended_in_any_turn(way: Any) -> None:
    """Its last words and the end of its body leave, whether it was about to go live, or live, or behind."""

    async def main() -> None:
        async with Hub("memory://") as hub:
            for waited in range(40):
                app = Endpoint(hub, "t")
                async with opened(way(app), wait_for_start=False) as stream:
                    await turns(waited)
                    ended = await hub.revoke(topic="t")
                    await until(lambda hub=hub, app=app: bool(app.records) or hub.stats().live == 1)  # type: ignore[misc]
                    if ended:
                        await stream.until_end()
                        assert (stream.ended, stream.received[-len(FAREWELL) :]) == (StreamEnd.COMPLETE, FAREWELL)
                assert app.record.reason in (CloseReason.REVOKED, CloseReason.CLIENT_CLOSED)
            assert hub.stats().revoked > 20

    run(main())


@eager
@pytest.mark.parametrize("way", WAYS)
def test_a_stream_goes_on_under_an_eager_task_factory(way: Any) -> None:
    """A task that ends in the line that makes it, a flush or a look at the log, does not stop the next one."""

    async def main() -> None:
        be_eager()
        async with Hub("memory://") as hub, opened(way(Endpoint(hub, "t"))) as stream:
            await until(lambda: hub.stats().live == 1)
            for number in range(5):
                await hub.publish("t", number)
                assert numbers(await stream.events(1)) == [number]
                assert hub._home.engine is not None
                for topic in hub._home.engine.topics:
                    topic.doubt()
                await asyncio.sleep(1)
            assert hub.stats().live == 1

    run(main())


@eager
@pytest.mark.parametrize("way", WAYS)
def test_a_burst_has_no_hole_under_an_eager_task_factory(way: Any) -> None:
    """More than waits for a flush: who is sent to the log begins to read in the very line that sends it there."""

    async def main() -> None:
        be_eager()
        async with Hub("memory://") as hub, opened(way(Endpoint(hub, "t")), buffer_messages=2000) as stream:
            await until(lambda: hub.stats().live == 1)
            for number in range(700):
                await hub.publish("t", f"{number} " + "x" * 2000)
            await until(lambda: hub.stats().live == 1)
            await hub.publish("t", "700")
            assert numbers(await stream.events(701)) == list(range(701))

    run(main())
