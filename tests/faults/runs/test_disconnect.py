"""What a run does when its readers leave: seen from the model that it asks, over the network."""

from __future__ import annotations

import asyncio
import json
import random
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from typing import Any

import httpx2
import pytest

from tests.faults.servers import Server
from unbroken.client import EventSource
from unbroken.wire import DecodedEvent

from . import site
from .app import Settings
from .system import until
from .upstream import Upstream

ENDLESS = 100_000
AT_ONCE = 1.0
"""Seconds in which a producer is stopped that nobody wants any more."""
PATIENCE = 1.0
"""Seconds that one goes on unwatched, where that is asked for."""


@pytest.fixture(scope="module")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[Server]]:
    """Run two servers with one file."""
    folder = tmp_path_factory.mktemp("runs")
    settings = Settings(url=f"sqlite:///{folder / 'runs.db'}", folder=str(folder), lease=5.0, ttl=60.0)
    both = list[Server]()
    try:
        for _ in range(2):
            both.append(site.start(settings))
        yield both
    finally:
        for server in both:
            server.stop()


def url(server: Server, path: str) -> str:
    """Return an address."""
    return f"http://{server.host}:{server.port}{path}"


def order(upstream: Upstream, lines: int, on_disconnect: str | float) -> dict[str, Any]:
    """Return what starts a run that relays so many lines."""
    name = f"run-{random.getrandbits(48):x}"
    return {"id": name, "producer": "relay", "args": [upstream.url(lines)], "options": {"on_disconnect": on_disconnect}}


async def started(server: Server, wanted: dict[str, Any]) -> str:
    """Start a run, and leave its response aside."""
    async with httpx2.AsyncClient() as client:
        answer = await client.post(url(server, "/runs"), json=wanted)
        assert answer.status_code == 200, answer.text
    return str(wanted["id"])


@asynccontextmanager
async def reading(server: Server, run: str, least: int = 4) -> AsyncIterator[list[DecodedEvent]]:
    """Read a run, and have some of it; leave when the block does."""
    async with EventSource(url(server, f"/runs/{run}")) as events:
        yield [await anext(events) for _ in range(least)]


async def all_of(server: Server, run: str) -> list[DecodedEvent]:
    """Read a run to its end."""
    async with asyncio.timeout(10), EventSource(url(server, f"/runs/{run}")) as events:
        return [event async for event in events]


def status_of(events: list[DecodedEvent]) -> str:
    """Return what the end says, of which there is one."""
    (end,) = [event for event in events if event.event == "run-end"]
    assert events[-1] is end
    return str(json.loads(end.data)["status"])


def texts_of(events: list[DecodedEvent]) -> list[str]:
    """Return what the model said."""
    return [event.data for event in events if event.event == "message"]


async def closed(upstream: Upstream) -> bool:
    """Whether the model was left by one who did not listen to the end."""
    return bool(upstream.closed_at)


async def leave_response(both: list[Server], upstream: Upstream) -> tuple[str, float]:
    """Read the response to the request that started a run, and leave."""
    wanted = order(upstream, ENDLESS, "cancel")
    async with (
        httpx2.AsyncClient() as client,
        client.stream("POST", url(both[0], "/runs?stream=1"), json=wanted) as answer,
    ):
        async for line in answer.aiter_lines():
            if line == "data: 3":
                break
        left_at = time.monotonic()
    return str(wanted["id"]), left_at


async def leave_here(both: list[Server], upstream: Upstream) -> tuple[str, float]:
    """Read at the process that produces, and leave."""
    return await _leave(both[0], both[0], upstream)


async def leave_elsewhere(both: list[Server], upstream: Upstream) -> tuple[str, float]:
    """Read at another process than the one that produces, and leave."""
    return await _leave(both[0], both[1], upstream)


async def _leave(producing: Server, watching: Server, upstream: Upstream) -> tuple[str, float]:
    run = await started(producing, order(upstream, ENDLESS, "cancel"))
    async with reading(watching, run):
        left_at = time.monotonic()
    return run, left_at


Leave = Callable[[list[Server], Upstream], Awaitable[tuple[str, float]]]


@pytest.mark.parametrize("leave", [leave_response, leave_here, leave_elsewhere])
def test_the_model_is_left_within_a_second_when_nobody_wants_its_answer(leave: Leave, servers: list[Server]) -> None:
    """With `cancel`, wherever the reader was; what there was can be read, with its end."""

    async def main() -> None:
        async with Upstream() as upstream:
            run, left_at = await leave(servers, upstream)
            await until(lambda: closed(upstream), "the end of the upstream request")
            assert upstream.closed_at[0] - left_at < AT_ONCE
            events = await all_of(servers[1], run)
            assert status_of(events) == "cancelled"
            assert texts_of(events)[:3] == ["0", "1", "2"]
            assert upstream.asked == 1

    asyncio.run(main())


def test_one_reader_is_enough(servers: list[Server]) -> None:
    """With `cancel` and readers at two processes, the model is left when the last of them goes, and not before."""

    async def main() -> None:
        async with Upstream() as upstream:
            run = await started(servers[0], order(upstream, ENDLESS, "cancel"))
            async with EventSource(url(servers[1], f"/runs/{run}")) as staying:
                async with reading(servers[0], run):
                    await anext(staying)
                left_at = time.monotonic()
                while time.monotonic() - left_at < AT_ONCE:
                    await anext(staying)
                assert not upstream.closed_at
            await until(lambda: closed(upstream), "the end of the upstream request")

    asyncio.run(main())


def test_the_model_is_heard_to_the_end_if_that_is_wanted(servers: list[Server]) -> None:
    """With `continue` nobody need be there, and whoever comes later has all."""

    async def main() -> None:
        async with Upstream() as upstream:
            run = await started(servers[0], order(upstream, 60, "continue"))
            async with reading(servers[0], run):
                pass

            async def is_finished() -> bool:
                return upstream.finished == 1

            await until(is_finished, "the end of the answer")
            events = await all_of(servers[1], run)
            assert status_of(events) == "done"
            assert texts_of(events) == [str(number) for number in range(60)]
            assert not upstream.closed_at

    asyncio.run(main())


def test_a_reader_may_come_back_in_time(servers: list[Server]) -> None:
    """With `CancelWhenUnwatched` to another process, too; then nobody comes, and the model is left after that time."""

    async def main() -> None:
        async with Upstream() as upstream:
            run = await started(servers[0], order(upstream, ENDLESS, PATIENCE))
            async with reading(servers[0], run):
                pass
            await asyncio.sleep(PATIENCE / 2)
            async with EventSource(url(servers[1], f"/runs/{run}")) as events:
                back_at = time.monotonic()
                while time.monotonic() - back_at < PATIENCE:
                    await anext(events)
                assert not upstream.closed_at
                left_at = time.monotonic()
            await until(lambda: closed(upstream), "the end of the upstream request")
            assert PATIENCE <= upstream.closed_at[0] - left_at < PATIENCE + AT_ONCE
            assert status_of(await all_of(servers[0], run)) == "cancelled"

    asyncio.run(main())
