"""While the engine is away: what streams see, what publishers are told, and what is known of it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from tests.engines.valkey import Valkey
from tests.hub.support import Endpoint, opened
from unbroken.errors import LogUnavailable
from unbroken.hub import Hub

SETTINGS = "?timeout=1&heartbeat_interval=0.3&heartbeat_timeout=0.3"
DEADLINE = 15.0


@asynccontextmanager
async def hub_on(engine: Valkey) -> AsyncIterator[Hub]:
    """Open a hub on a running engine, with little patience."""
    async with asyncio.timeout(2 * DEADLINE), Hub(engine.url + SETTINGS) as hub:
        yield hub


async def until(condition: Callable[[], bool]) -> None:
    """Wait for a state of the hub."""
    async with asyncio.timeout(DEADLINE):
        while not condition():
            await asyncio.sleep(0.01)


def played(folder: Path, play: Callable[[Valkey, Hub], Awaitable[None]]) -> None:
    """Run a scenario with an engine and a hub of its own."""

    async def main() -> None:
        with Valkey(folder) as engine:
            async with hub_on(engine) as hub:
                await play(engine, hub)

    asyncio.run(main())


def test_streams_stay_open_and_get_what_they_missed(tmp_path: Path) -> None:
    """The one that was live, and one that came meanwhile: heartbeats first, then everything, once and without a gap."""

    async def play(engine: Valkey, hub: Hub) -> None:
        live, late = (Endpoint(hub, "t", heartbeat=0.1) for _ in range(2))
        async with opened(live, timeout=DEADLINE) as stream:
            first = await hub.publish("t", "1")
            assert [event.data for event in await stream.events(1)] == ["1"]
            await asyncio.to_thread(engine.kill)
            await until(lambda: hub.stats().trouble is not None)
            async with opened(late, str(first), timeout=DEADLINE) as other:
                beats = stream.received.count(b": keep-alive")
                await until(lambda: b": keep-alive" in other.received)
                await until(lambda: stream.received.count(b": keep-alive") > beats + 2)
                assert other.status == 200
                await asyncio.to_thread(engine.start)
                await hub.publish("t", "2", wait=DEADLINE)
                for each in (stream, other):
                    events = await each.events(1)
                    assert [event.data for event in events] == ["2"]
                    assert b"stream-gap" not in each.received
            await until(lambda: hub.stats().trouble is None)
            assert hub.stats().gaps == {}

    played(tmp_path, play)


def test_publishers_choose_an_error_patience_or_the_outbox(tmp_path: Path) -> None:
    """Nothing of it is published twice, and what was handed over keeps its order."""

    async def play(engine: Valkey, hub: Hub) -> None:
        await hub.publish("t", "before")
        await asyncio.to_thread(engine.kill)
        with pytest.raises(LogUnavailable, match=f"127.0.0.1:{engine.port}"):
            await hub.publish("t", "refused")
        patient = asyncio.create_task(hub.publish("u", "patient", wait=DEADLINE))
        for number in range(100):
            hub.publish_soon("t", number)
        await asyncio.sleep(0)
        assert (hub.stats().waiting, patient.done()) == (100, False)
        await asyncio.to_thread(engine.start)
        await hub.flush(DEADLINE)
        await patient
        subscription = hub.subscribe("t", after="earliest")
        got = [(await anext(subscription)).data for _ in range(101)]
        await subscription.aclose()
        assert got == ["before", *map(str, range(100))]
        assert (hub.stats().waiting, hub.stats().unpublished) == (0, 0)
        assert str(await hub.position("t")).split(".")[1] == "101"
        assert str(await hub.position("u")).split(".")[1] == "1"

    played(tmp_path, play)


def test_a_frozen_engine_is_noticed(tmp_path: Path) -> None:
    """Its connections are open and silent; what was published before it froze is not published again."""

    async def play(engine: Valkey, hub: Hub) -> None:
        async with opened(Endpoint(hub, "t"), timeout=DEADLINE) as stream:
            await hub.publish("t", "1", key="1")
            await stream.events(1)
            engine.freeze()
            try:
                with pytest.raises(LogUnavailable):
                    await hub.publish("t", "2", key="2")
                await until(lambda: hub.stats().trouble is not None)
            finally:
                engine.thaw()
            await hub.publish("t", "2", key="2", wait=DEADLINE)
            await hub.publish("t", "3")
            assert [event.data for event in await stream.events(2)] == ["2", "3"]
            await until(lambda: hub.stats().trouble is None)

    played(tmp_path, play)
