"""What is left of a stream that has ended, and of the request that came first: nothing."""

from __future__ import annotations

import asyncio
import gc
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import pytest

from tests.hub.support import Endpoint, opened, run, stepped, turns, until
from unbroken.hub import Hub
from unbroken.hub.exchange import HubExchange
from unbroken.hub.subscriber import Subscriber

WAYS = (pytest.param(lambda app: app, id="woken"), pytest.param(stepped, id="stepped"))
KEPT: ContextVar[object] = ContextVar("kept")


@contextmanager
def collecting_nothing() -> Iterator[None]:
    """Turn the garbage collector off: what is in a cycle stays."""
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


def alive() -> list[int]:
    """Return how many there are of what is made for each stream."""
    kinds = [type(thing) for thing in gc.get_objects()]
    return [kinds.count(HubExchange), kinds.count(Subscriber)]


async def leave(hub: Hub, stream: Any) -> None:
    """Have the client leave."""
    await hub.publish("t", "x")
    await stream.events(1)
    await stream.disconnect()


async def revoke(hub: Hub, stream: Any) -> None:
    """Have the hub end the stream."""
    await hub.revoke(topic="t")
    await stream.until_end()


async def cancel(hub: Hub, stream: Any) -> None:
    """Have something around the response cancel it, as `BaseHTTPMiddleware` does when a client leaves."""
    await stream.cancel()
    await stream.wait_closed()


async def live_and_end(hub: Hub, app: Any, end: Any) -> None:
    """Have a stream be live, and end."""
    async with opened(app) as stream:
        await until(lambda: hub.stats().live == 1)
        assert alive() == [1, 1]
        await end(hub, stream)
    await asyncio.sleep(1)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("end", [leave, revoke, cancel])
def test_a_stream_that_ended_is_in_no_cycle(way: Any, end: Any) -> None:
    """Thousands that end at once are given back at once, and not when the garbage collector comes."""

    async def main() -> None:
        async with Hub("memory://") as hub:
            with collecting_nothing():
                for _ in range(3):
                    await live_and_end(hub, way(Endpoint(hub, "t")), end)
                assert alive() == [0, 0]

    run(main())


class Burden:
    """What a request's context holds."""


@pytest.mark.parametrize("url", ["memory://", "sqlite:///{}/events.db"])
def test_the_request_that_opens_the_hub_is_not_kept_by_it(url: str, tmp_path: Any) -> None:
    """What runs as long as the hub is open runs in a context of its own."""

    async def first(hub: Hub) -> weakref.ref[Burden]:
        burden = Burden()
        KEPT.set(burden)
        await hub.publish("t", "x")
        return weakref.ref(burden)

    async def main() -> None:
        hub = Hub(url.format(tmp_path))
        kept = await asyncio.create_task(first(hub))
        await turns()  # what was begun in that context, such as a look at the time, ends
        gc.collect()
        assert kept() is None
        await hub.close()

    asyncio.run(main())
