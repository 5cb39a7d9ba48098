"""What is seen through hops, by their timeouts and compressors."""

from __future__ import annotations

import zlib
from collections.abc import Callable
from types import ModuleType

from unbroken.testing import DeadlineError, DrivenStream, open_stream

from .support import Probe, in_virtual_time

__all__ = ["PROBES"]


async def answer_through_a_hop_that_counts_silence(module: ModuleType) -> str:
    """Wait for the first event behind a hop that closes after a minute without a byte."""
    async with open_stream(module.app, "/stream") as stream:
        while b"data:" not in stream.received:
            try:
                await stream.until(more_than(stream, len(stream.received)), timeout=60)
            except DeadlineError:
                return "cut in its silence"
        return (await stream.next_event()).data


def more_than(stream: DrivenStream, size: int) -> Callable[[], bool]:
    """Return what asks whether bytes have come."""
    return lambda: len(stream.received) > size


async def end_before_a_hop_that_counts_age(module: ModuleType) -> str:
    """Read behind a hop that closes after five minutes."""
    async with open_stream(module.app, "/stream") as stream:
        try:
            await stream.until_end(timeout=300)
        except DeadlineError:
            return "cut by the hop"
        return str(stream.ended)


async def events_under_compression(module: ModuleType) -> str:
    """Ask as a browser does, which takes gzip, and wait a minute for the first event."""
    async with open_stream(module.app, "/stream", headers={"accept-encoding": "gzip"}) as stream:
        zipped = stream.headers.get("content-encoding") == "gzip"
        unpack = zlib.decompressobj(31).decompress if zipped else bytes
        try:
            await stream.until(more_than(stream, 500), timeout=60)
        except DeadlineError:
            return f"{len(stream.received)} bytes, {len(unpack(stream.received))} of events"
        return "events"


PROBES = {
    "idle-timeout": Probe(
        in_virtual_time(answer_through_a_hop_that_counts_silence), "cut in its silence", "the answer"
    ),
    "age-limit": Probe(in_virtual_time(end_before_a_hop_that_counts_age), "cut by the hop", "complete"),
    "compressed-stream": Probe(in_virtual_time(events_under_compression), "10 bytes, 0 of events", "events"),
}
