"""The standard's clauses over real HTTP, as both clients read them."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import suppress

import httpx2
import pytest

from unbroken.client import EventSource, SyncEventSource
from unbroken.errors import StreamTruncated
from unbroken.wire import DecodedEvent

from .serving import CUTS, serving
from .vectors import VECTORS, Vector

Found = tuple[list[DecodedEvent], int | None, str, int]


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    """Serve the vectors, once for all tests here."""
    with serving() as url:
        yield url


def expected(vector: Vector) -> Found:
    """Return all that a client may know after the vector's stream."""
    return list(vector.events), vector.retry, vector.last_event_id, vector.comments


def found(events: list[DecodedEvent], source: EventSource | SyncEventSource) -> Found:
    """Return all that a client knows after its stream."""
    return events, source.retry, source.last_event_id, source.stats.comments


async def read(client: httpx2.AsyncClient, url: str) -> Found:
    """Read a stream to its end, with the asynchronous client."""
    events: list[DecodedEvent] = []
    async with EventSource(url, client=client, reconnect="never") as source:
        with suppress(StreamTruncated):  # where a vector's last event has no blank line
            async for event in source:
                events.append(event)  # noqa: PERF401 - a comprehension would lose them with the error
    return found(events, source)


def read_sync(client: httpx2.Client, url: str) -> Found:
    """Read a stream to its end, with the synchronous client."""
    events: list[DecodedEvent] = []
    with SyncEventSource(url, client=client, reconnect="never") as source, suppress(StreamTruncated):
        events += source
    return found(events, source)


@pytest.mark.parametrize("cut", CUTS)
def test_event_source_reads_every_vector(url: str, cut: str) -> None:
    """Whatever comes, whole or byte by byte, the program gets what the standard says, and can ask for the rest."""

    async def read_all() -> dict[str, Found]:
        async with httpx2.AsyncClient() as client:
            return {vector.id: await read(client, f"{url}/{cut}/{vector.id}") for vector in VECTORS}

    assert asyncio.run(read_all()) == {vector.id: expected(vector) for vector in VECTORS}


@pytest.mark.parametrize("cut", CUTS)
def test_sync_event_source_reads_every_vector(url: str, cut: str) -> None:
    """So it does without a loop."""
    with httpx2.Client() as client:
        read_all = {vector.id: read_sync(client, f"{url}/{cut}/{vector.id}") for vector in VECTORS}
    assert read_all == {vector.id: expected(vector) for vector in VECTORS}
