"""A process that publishes as fast as its layer takes it: `python -m benchmarks.engines.rates JSON`."""

from __future__ import annotations

import asyncio
import time
from itertools import count
from typing import Any

from benchmarks.engines.events import stamped
from benchmarks.engines.layers import Layer, open_layer
from benchmarks.engines.worker import connections, run, say

__all__: list[str] = []

WARM = 0.15
"""The share of the time that goes before: connections are made, statements prepared, scripts loaded."""

REST = 0.001
"""Seconds after a publish that failed, lest a failure that is quick keeps all others from the loop."""


async def main(engine: str, layer: str, url: str, topic: str, phases: list[dict[str, int]], seconds: float) -> None:
    async with open_layer(engine, layer, url) as opened:
        for phase in phases:
            topics = [f"{topic}{phase['tasks']}of{number}" for number in range(phase["topics"])]
            await _Phase(opened, topics).run(phase["tasks"], seconds * WARM)
            figures = await _Phase(opened, topics).run(phase["tasks"], seconds)
            say(**figures, connections=connections(url))


class _Phase:
    def __init__(self, layer: Layer, topics: list[str]) -> None:
        self._layer = layer
        self._topics = topics
        self._numbers = count()
        self.events = self.failed = 0
        self.error = ""

    async def run(self, tasks: int, seconds: float) -> dict[str, Any]:
        """Publish with so many tasks, each one event after the other; and wait for those that were begun."""
        begun, cpu = time.perf_counter(), time.process_time()
        await asyncio.gather(*(self._publish(begun + seconds) for _ in range(tasks)))
        taken = time.perf_counter() - begun
        cpu = (time.process_time() - cpu) * 1e6 / max(1, self.events)
        return {"rate": self.events / taken, "cpu": cpu, "failed": self.failed, "error": self.error}

    async def _publish(self, until: float) -> None:
        while time.perf_counter() < until:
            number = next(self._numbers)
            try:
                await self._layer.publish(self._topics[number % len(self._topics)], stamped(number))
            except Exception as error:  # noqa: BLE001 - any that a layer has
                self.failed += 1
                self.error = f"{type(error).__name__}: {error}"
                await asyncio.sleep(REST)
            else:
                self.events += 1


if __name__ == "__main__":
    run(main, measured=True)
