"""Logs and event loops that come and go: a script with several `asyncio.run`, a test suite."""

from __future__ import annotations

import asyncio
import threading
from pathlib import Path

import pytest

from unbroken import Hub


@pytest.mark.parametrize("kind", ["memory", "sqlite"])
def test_a_hub_that_nobody_closed_goes_on_with_the_next_loop(kind: str, tmp_path: Path) -> None:
    """What was published on a loop that is closed by now is there on the next, and from no loop at all."""
    hub = Hub("memory://" if kind == "memory" else f"sqlite:///{tmp_path}/events.db")

    async def publish(text: str) -> str:
        return str(await hub.publish("topic", text))

    async def read(count: int) -> list[str]:
        async with hub.subscribe("topic", after="earliest") as events:
            return [(await anext(events)).data for _ in range(count)]

    first = asyncio.run(publish("one"))
    second = asyncio.run(publish("two"))
    third = str(hub.publish_sync("topic", "three"))
    assert asyncio.run(read(3)) == ["one", "two", "three"]
    assert len({first, second, third}) == 3
    asyncio.run(hub.close())
    assert not [
        thread for thread in threading.enumerate() if str(tmp_path) in thread.name or thread.name == "unbroken hub"
    ]
    assert asyncio.run(publish("four")) != third
    asyncio.run(hub.close())  # on yet another loop
