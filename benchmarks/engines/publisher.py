"""A process that publishes to a reader in another: `python -m benchmarks.engines.publisher JSON`.

It asks by probes whether the subscriptions are there, until it is told to begin.
"""

from __future__ import annotations

import asyncio
import sys
import time
from contextlib import AsyncExitStack

from benchmarks.engines.events import PROBE, place, stamped
from benchmarks.engines.layers import Layer, open_layer
from benchmarks.engines.worker import hear, run, say

__all__: list[str] = []

PROBE_INTERVAL = 0.05


async def main(
    engine: str, layer: str, url: str, topic: str, lanes: int, events: int, rate: float | None = None
) -> None:
    """Publish so many events in each lane, one after the other; each lane has a layer of its own, as processes have."""
    async with AsyncExitStack() as opened:
        layers = [await opened.enter_async_context(open_layer(engine, layer, url)) for _ in range(lanes)]
        await _probe(layers[0], topic)
        failed = await asyncio.gather(*(_publish(one, lane, topic, events, rate) for lane, one in enumerate(layers)))
        say(failed=sum(failed))
        await hear()  # what is on its way shall not end with the process


async def _probe(layer: Layer, topic: str) -> None:
    begin = asyncio.create_task(hear())
    while not begin.done():
        await layer.publish(topic, stamped(PROBE))
        await asyncio.wait((begin,), timeout=PROBE_INTERVAL)
    begin.result()


async def _publish(layer: Layer, lane: int, topic: str, events: int, rate: float | None) -> int:
    failed, begun = 0, time.perf_counter()
    for number in range(events):
        if rate is not None:
            await asyncio.sleep(begun + number / rate - time.perf_counter())
        try:
            await layer.publish(topic, stamped(place(lane, number, events)))
        except Exception as error:  # noqa: BLE001 - any that a layer has
            failed += 1
            print(f"not published: {type(error).__name__}: {error}", file=sys.stderr)
    return failed


if __name__ == "__main__":
    run(main, measured=False)
