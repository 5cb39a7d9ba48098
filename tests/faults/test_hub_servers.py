"""Live events on servers whose own `send` is not the plain kind: one that wraps another, and one that always waits."""

from __future__ import annotations

import asyncio
import json
import time
from contextlib import ExitStack, closing
from functools import partial

import pytest

from .clients import Client
from .hub.fuzz import post
from .hub.site import serving

CLIENTS = 3
BATCHES = 10
BATCH = 5
DEADLINE = 10.0


@pytest.mark.parametrize("name", ["hypercorn", "granian"])
def test_each_live_client_gets_each_event_once(name: str) -> None:
    """Several in each turn of the server's loop: they leave together, and none is lost on the way to the socket."""
    with serving(name) as server, ExitStack() as stack:
        address = (server.host, server.port)
        clients = [stack.enter_context(closing(Client(address, "/events?topic=t"))) for _ in range(CLIENTS)]
        deadline = time.monotonic() + DEADLINE
        while server.json("/stats")["live"] < CLIENTS and time.monotonic() < deadline:
            time.sleep(0.02)
        for start in range(0, BATCHES * BATCH, BATCH):
            batch = [("t", None, number) for number in range(start, start + BATCH)]
            asyncio.run(post(address, "/publish", json.dumps(batch).encode()))
        stats = server.json("/stats")
        for client in clients:
            client.read_until(partial(has_events, client, BATCHES * BATCH))
        assert stats["published"] == BATCHES * BATCH
        assert [read_numbers(client) for client in clients] == [list(range(BATCHES * BATCH))] * CLIENTS
        assert [client.end for client in clients] == [None] * CLIENTS


def has_events(client: Client, count: int) -> bool:
    """Whether so many have come whole, behind the block that says where the client begins."""
    return client.body.count(b"\n\n") > count


def read_numbers(client: Client) -> list[int]:
    """Return the data of what has come, in its order."""
    return [int(line[6:]) for line in bytes(client.body).splitlines() if line.startswith(b"data: ")]
