"""A process with subscriptions to one topic, and the account of each: `python -m benchmarks.engines.reader JSON`."""

from __future__ import annotations

import asyncio
import statistics
import time
from contextlib import AsyncExitStack
from typing import Any

from benchmarks.engines.events import Account, now, sent_at
from benchmarks.engines.layers import Layer, open_layer
from benchmarks.engines.worker import connections, hear, run, say

__all__: list[str] = []

QUIET = 3.0
"""Seconds without anything new, after which what is missing is lost."""

LOOK = 0.02
READY_TIMEOUT = 15.0


class _Reader:
    """All subscriptions of the process."""

    def __init__(self, layer: Layer, subscribers: int, lanes: int, events: int) -> None:
        self._layer = layer
        self.accounts = [Account(lanes, events) for _ in range(subscribers)]
        self.unready = subscribers
        # One subscription may keep every delay; of many, that would be most of what is measured.
        self._delays: list[int] | None = [] if subscribers == 1 else None
        self._begun = self._last = 0
        self._cpu_begun = self._cpu_last = 0.0

    async def read(self, account: Account, items: Any) -> None:
        take, text_of, delays = account.take, self._layer.text, self._delays
        probed = False
        async for item in items:
            text = text_of(item)
            if take(text):
                if delays is not None:
                    delays.append(now() - sent_at(text))
            elif not probed:
                probed = True
                self.unready -= 1

    def begin(self) -> None:
        self._begun, self._cpu_begun = now(), time.process_time()

    async def drain(self, expected: int) -> None:
        """Wait until all has come, or nothing comes any more."""
        quiet_since, before = time.monotonic(), -1
        while before < expected and time.monotonic() - quiet_since < QUIET:
            received = self._received()
            if received != before:
                before, quiet_since = received, time.monotonic()
                self._last, self._cpu_last = now(), time.process_time()
            await asyncio.sleep(LOOK)

    def _received(self) -> int:
        return sum(account.received for account in self.accounts)

    def figures(self, expected: int) -> dict[str, float]:
        cpu, seconds = self._cpu_last - self._cpu_begun, (self._last - self._begun) / 1e9
        received = self._received()
        figures = {
            "expected": expected,
            "lost": expected - received,
            "twice": sum(account.twice for account in self.accounts),
            "jumps": sum(account.jumps for account in self.accounts),
            "deliveries": received / seconds,
            "cpu": cpu * 1e6 / max(1, received),
            "busy": cpu / seconds,
        }
        if self._delays:
            cuts = statistics.quantiles(self._delays, n=100, method="inclusive")
            figures |= {"p50": cuts[49] / 1e6, "p99": cuts[98] / 1e6}
        return figures


async def main(engine: str, layer: str, url: str, topic: str, subscribers: int, lanes: int, events: int) -> None:
    async with AsyncExitStack() as opened:
        own = await opened.enter_async_context(open_layer(engine, layer, url))
        reader = _Reader(own, subscribers, lanes, events)
        tasks = [
            asyncio.create_task(reader.read(account, await opened.enter_async_context(own.subscribe(topic))))
            for account in reader.accounts
        ]
        async with asyncio.timeout(READY_TIMEOUT):  # a subscription may be deaf
            while reader.unready:
                await _look(tasks)
        say(connections=connections(url))
        await hear()
        reader.begin()
        say(begun=True)
        expected = (await hear())["published"] * subscribers
        await reader.drain(expected)
        say(**reader.figures(expected))
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)


async def _look(tasks: list[asyncio.Task[None]]) -> None:
    """Let the readers go on; one that ended has failed."""
    done, _ = await asyncio.wait(tasks, timeout=LOOK, return_when=asyncio.FIRST_COMPLETED)
    for task in done:
        task.result()
        raise RuntimeError("a subscription ended before anything was published")


if __name__ == "__main__":
    run(main, measured=True)
