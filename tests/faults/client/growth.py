"""What a reader of very many connections leaves behind, in a process where nobody else does anything.

In the tests' own process threads of other tests may still be at work: 140,000 objects of somebody were counted once.
"""

from __future__ import annotations

import asyncio
import gc
import itertools
import json
import logging
import resource
import socket
import sys
import threading
import tracemalloc
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import AsyncGeneratorType, GeneratorType
from typing import Any

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


def grown(kind: str) -> dict[str, Any]:
    """Read from two hundred connections; return what became more between the fiftieth and the last."""
    total, traced, counts = 20_000, list[int](), list[dict[str, int]]()

    def look(number: int) -> None:
        if number in (total // 4, total - PER_CONNECTION // 2):
            counts.append(left_behind())
            traced.append(tracemalloc.get_traced_memory()[0])

    with endless() as url:
        tracemalloc.start()
        try:
            source = READERS[kind](url, total, look)
        finally:
            tracemalloc.stop()
    more = {name: counts[1][name] - counts[0][name] for name in counts[0]}
    return {**more, "bytes": traced[1] - traced[0], "read": (source.stats.events, source.stats.connections)}


if __name__ == "__main__":
    logging.getLogger("unbroken.client").setLevel(logging.ERROR)
    print(json.dumps(grown(sys.argv[1])))
