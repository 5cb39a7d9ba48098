"""What is left of runs when their time is over, and some of their processes are gone."""

from __future__ import annotations

import asyncio
import random
from pathlib import Path
from typing import Any

import httpx2
import pytest

from unbroken.client import EventSource

from .app import Settings
from .places import ENGINES, place
from .system import System, until

RUNS = 6
LEASE = 0.5
TTL = 1.2
OTHERS = [pytest.param(engine, marks=pytest.mark.soak) for engine in ENGINES]


async def read(system: System, run: str, seen: set[str]) -> list[str]:
    """Read a run at the last server, and return the types of its events; note which topics there are at its end."""
    async with EventSource(f"{system.url(-1)}/runs/{run}", reconnect_delay=0.05) as events:
        read = [event.event async for event in events]
    seen.update(await topics(system))
    return read


async def topics(system: System) -> dict[str, int]:
    """Return the topics that are left, and how many entries each has."""
    left: dict[str, int] = await system.ask(-1, "/topics")
    return left


@pytest.mark.parametrize("engine", ["sqlite", *OTHERS])
def test_nothing_is_left_when_their_time_is_over(engine: str, tmp_path: Path) -> None:
    """Runs of a process that was killed, and others, with what they kept beside: no topic, no entry, no answer."""

    async def main(url: str) -> None:
        settings = Settings(url=url, folder=str(tmp_path), lease=LEASE, ttl=TTL, rounds=0.3)
        async with System(settings, 2, random.Random(1)) as system:
            names = [f"run-{number}" for number in range(RUNS)]
            for number, name in enumerate(names):
                options: dict[str, Any] = {"on_orphan": "restart" if number % 2 else "fail", "on_disconnect": 60}
                await system.start(name, "count", [60, 0.02, 0, True], first=number % 3 and 1, **options)
            seen = set[str]()  # at each end: the first run may be gone when the last one ends
            reading = asyncio.gather(*(read(system, name, seen) for name in names))
            await system.kill(0)
            async with asyncio.timeout(20):
                assert {events[-1] for events in await reading} == {"run-end"}
            assert {f"$run:{name}" for name in names} <= seen
            assert any(name.startswith("$run-control:") for name in seen)
            await system.is_back(0)

            async def is_over() -> bool:
                left = await topics(system)
                return left.get("$runs") == 0 and not any(name.startswith(("$run:", "$run-control:")) for name in left)

            await until(is_over, "the end of all that runs kept")

            async def has_living_only() -> bool:
                return sum(name.startswith("$run-lease:") for name in await topics(system)) == 2

            await until(has_living_only, "the end of a dead process's signs of life")
            async with httpx2.AsyncClient() as client:
                statuses = {(await client.get(f"{system.url(-1)}/runs/{name}")).status_code for name in names}
            assert statuses == {404}
            assert not [name for name in await topics(system) if name.startswith(("$run:", "$run-control:"))]

    async def placed() -> None:
        async with place(engine, tmp_path) as url:
            await main(url)

    asyncio.run(placed())
