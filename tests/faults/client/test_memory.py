"""A reader that reads for weeks: nothing grows with the events, nor with the connections."""

from __future__ import annotations

import asyncio
import gc
import itertools
import logging
import resource
import socket
import threading
import tracemalloc
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import AsyncGeneratorType, GeneratorType

import pytest

from unbroken.client import EventSource, SyncEventSource

PER_CONNECTION = 100
HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n"
PADDING = "x" * 40

Source = SyncEventSource | EventSource
Look = Callable[[int], None]


def body(after: int) -> bytes:
    """Return the next events, in one chunk."""
    events = (f"id: {n}\ndata: {n} {PADDING}\n\n" for n in range(after + 1, after + PER_CONNECTION + 1))
    text = "".join(events).encode()
    return b"%x\r\n%b\r\n" % (len(text), text)


def answer_all(listener: socket.socket) -> None:
    """Answer one after the other, with some events each, and end each second one in the midst of its body."""
    for number in itertools.count():
        connection, _ = listener.accept()
        with connection, connection.makefile("rb") as request:
            lines = [line.lower() for line in itertools.takewhile(bytes.strip, request)]
            if not lines:
                return
            places = [int(line.split()[1]) for line in lines if line.startswith(b"last-event-id")]
            connection.sendall(HEAD + body(*places or [0]) + (b"0\r\n\r\n" if number % 2 else b""))


@contextmanager
def endless() -> Iterator[str]:
    """Serve a stream that never ends, over very many connections; nothing in here grows."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=answer_all, args=(listener,))
        thread.start()
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}/"
        finally:
            socket.create_connection(listener.getsockname()).close()
            thread.join()


def read_sync(url: str, total: int, look: Look) -> Source:
    """Read so many events, and let each be looked at."""
    with SyncEventSource(url, reconnect_delay=0) as events:
        for expected, event in zip(range(1, total + 1), events, strict=False):
            assert event.last_event_id == str(expected)
            look(expected)
    return events


def read_async(url: str, total: int, look: Look) -> Source:
    """Do the same with the other client."""

    async def main() -> Source:
        async with EventSource(url, reconnect_delay=0) as events:
            for expected in range(1, total + 1):
                assert (await anext(events)).last_event_id == str(expected)
                look(expected)
        async with asyncio.timeout(10):
            while len(asyncio.all_tasks()) > 1:  # the loop's own, for generators of the HTTP library
                await asyncio.sleep(0)
        return events

    return asyncio.run(main())


@pytest.fixture
def _quiet(caplog: pytest.LogCaptureFixture) -> None:
    """Let no log grow: pytest keeps what is logged."""
    caplog.set_level(logging.ERROR, "unbroken.client")


READERS = {"async": read_async, "sync": read_sync}


def left_behind() -> dict[str, int]:
    """Count what a reader may leave behind."""
    gc.collect()
    kinds = {"generators": GeneratorType, "async generators": AsyncGeneratorType}
    alive = gc.get_objects()
    counts = {name: sum(isinstance(each, kind) for each in alive) for name, kind in kinds.items()}
    tasks = sum(isinstance(each, asyncio.Task) and not each.done() for each in alive)
    descriptors = len(list(Path("/proc/self/fd").iterdir()))
    return {
        **counts,
        "tasks": tasks,
        "objects": len(alive),
        "descriptors": descriptors,
        "threads": threading.active_count(),
    }


def resident() -> int:
    """Return how many bytes of memory this process has."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()


@pytest.mark.parametrize("read", READERS.values(), ids=READERS)
@pytest.mark.usefixtures("_quiet")
def test_two_hundred_connections_leave_nothing(read: Callable[[str, int, Look], Source]) -> None:
    """Between the fiftieth and the last nothing that Python allocates has become more, and nothing is left open."""
    total, traced, counts = 20_000, list[int](), list[dict[str, int]]()

    def look(number: int) -> None:
        if number in (total // 4, total - PER_CONNECTION // 2):
            counts.append(left_behind())
            traced.append(tracemalloc.get_traced_memory()[0])

    with endless() as url:
        tracemalloc.start()
        try:
            source = read(url, total, look)
        finally:
            tracemalloc.stop()
    assert (source.stats.events, source.stats.connections) == (total, total // PER_CONNECTION)
    grown = {name: counts[1][name] - counts[0][name] for name in counts[0]}
    assert grown.pop("objects") < 200
    assert grown == dict.fromkeys(grown, 0)
    assert traced[1] - traced[0] < 64 * 1024


@pytest.mark.soak
@pytest.mark.timeout(900)
@pytest.mark.parametrize("read", READERS.values(), ids=READERS)
@pytest.mark.usefixtures("_quiet")
def test_a_million_events_over_ten_thousand_connections(read: Callable[[str, int, Look], Source]) -> None:
    """After the first tenth the process grows by less than 4 MiB."""
    total, sizes = 1_000_000, list[int]()

    def look(number: int) -> None:
        if number in (total // 10, total - PER_CONNECTION // 2):
            gc.collect()
            sizes.append(resident())

    before = left_behind()
    with endless() as url:
        source = read(url, total, look)
    assert (source.stats.events, source.stats.connections) == (total, total // PER_CONNECTION)
    assert sizes[1] - sizes[0] < 4 * 2**20
    after = left_behind()
    assert {name: after[name] for name in after if name != "objects"} == {
        name: before[name] for name in before if name != "objects"
    }
    print(f"{sizes[1] - sizes[0]} bytes more than after the first tenth")
