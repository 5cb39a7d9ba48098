"""What is done to a server, and the one figure that comes out of it."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from benchmarks.client import make_requests, open_streams, read_stream, still_open
from benchmarks.server import Process, Server

__all__ = ["WORKLOADS", "Figure", "Size", "Workload", "settled"]

_SETTLE_TIMEOUT = 15.0
_SETTLE_INTERVAL = 0.5


@dataclass(frozen=True, slots=True)
class Size:
    """How much is done in one measurement."""

    events: int
    streams: int
    requests: int


@dataclass(frozen=True, slots=True)
class Figure:
    """The result of one measurement; what was expected and what came are for the reader who doubts it."""

    value: float
    expected: int
    received: int


@dataclass(frozen=True, slots=True)
class Workload:
    title: str
    unit: str
    measure: Callable[[Server, Size], Figure]


def _cpu_per_event(path: str) -> Callable[[Server, Size], Figure]:
    def measure(server: Server, size: Size) -> Figure:
        events = size.events
        read_stream(server.port, path, max(1, events // 20))
        before = server.cpu()
        received = read_stream(server.port, path, events)
        return Figure((server.cpu() - before) * 1e6 / events, events, received)

    return measure


def _cpu_per_request(server: Server, size: Size) -> Figure:
    make_requests(server.port, "plain", max(1, size.requests // 20))
    before = server.cpu()
    received = make_requests(server.port, "plain", size.requests)
    return Figure((server.cpu() - before) * 1e6 / size.requests, size.requests, received)


def _memory_per_stream(server: Server, size: Size) -> Figure:
    # Some streams come and go first: what a library allocates once is not the price of a stream.
    with open_streams(server.port, "idle", 20):
        pass
    before = settled(server)
    with open_streams(server.port, "idle", size.streams) as streams:
        grown = settled(server) - before
        received = sum(map(still_open, streams))
    return Figure(grown / size.streams, size.streams, received)


def settled(server: Process) -> float:
    """Give the resident memory once it has stopped changing."""
    deadline = time.monotonic() + _SETTLE_TIMEOUT
    last = -1.0
    while (now := server.resident()) != last and time.monotonic() < deadline:
        last = now
        time.sleep(_SETTLE_INTERVAL)
    return now


_CPU = "µs of server CPU per event"
_MEMORY = "KiB of resident memory per stream"

WORKLOADS = {
    "stream": Workload("stream: one fast stream, its generator never awaits", _CPU, _cpu_per_event("stream")),
    "sleep": Workload("await: asyncio.sleep(0) before each event", _CPU, _cpu_per_event("sleep")),
    "queue": Workload("await: each event comes over a queue from another task", _CPU, _cpu_per_event("queue")),
    "request": Workload(
        "request: a small JSON answer, no event stream", "µs of server CPU per request", _cpu_per_request
    ),
    "idle": Workload("idle: open streams after their first event", _MEMORY, _memory_per_stream),
}
