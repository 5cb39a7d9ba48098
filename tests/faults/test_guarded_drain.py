"""A server that is told to stop, with guarded streams of other libraries open."""

from __future__ import annotations

import re
import signal
from concurrent.futures import ThreadPoolExecutor

import pytest

from .cells import stream_path
from .clients import Client
from .servers import Server

KINDS = ("ticking", "queue", "sync")
LAST_WORDS = re.compile(rb'retry: \d{4}\n\nevent: stream-end\ndata: {"reason":"shutdown"}\n\n$')


@pytest.mark.parametrize("library", ["starlette", "sse-starlette", "fastapi"])
@pytest.mark.parametrize("name", ["uvicorn-httptools-uvloop", "granian", "hypercorn", "daphne"])
def test_guarded_streams_end_in_good_order(name: str, library: str) -> None:
    """Each client reads `retry`, `stream-end` and a complete body, and the server waits for nothing."""
    server = Server.start(name, "tests.faults.guarded_app:app")
    clients = [
        Client((server.host, server.port), stream_path(f"{library}/{kind}", f"{kind}.{number}", {}))
        for kind in KINDS
        for number in range(5)
    ]
    try:
        for client in clients:
            client.read_items(1)
        with ThreadPoolExecutor(len(clients)) as threads:
            reading = threads.map(lambda client: client.read_until(lambda: False), clients)
            assert server.ends_on(signal.SIGTERM, timeout=10.0)
            list(reading)
        assert [client.end for client in clients] == ["complete"] * len(clients)
        for client in clients:
            assert LAST_WORDS.search(client.body)
    finally:
        for client in clients:
            client.close()
        server.stop()
