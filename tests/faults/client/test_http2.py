"""Over HTTP/2, in which many streams share a connection, and break with it or alone."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from functools import partial
from typing import Any

import httpx2
import pytest

from tests.faults.servers import Server
from unbroken.client import EventSource
from unbroken.errors import StreamStalled, StreamTruncated
from unbroken.testing import Fault, FaultProxy, Faults, running_proxy

from .feed_app import TOTAL
from .http2_origin import resetting
from .reading import READERS, Reading

EVERYTHING = [str(number) for number in range(1, TOTAL + 1)]


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    """Run a hypercorn, which speaks HTTP/2 in plain text with whoever begins so."""
    server = Server.start("hypercorn", f"{__package__}.feed_app:app")
    try:
        yield server
    finally:
        server.stop()


def read(kind: str, url: str, **options: Any) -> Reading:
    """Read with a client that speaks nothing else."""
    make_client = partial(httpx2.AsyncClient if kind == "async" else httpx2.Client, http1=False, http2=True)
    return READERS[kind](url, make_client=make_client, **options)


@pytest.mark.parametrize("kind", READERS)
@pytest.mark.parametrize("fault", [Fault.RST, Fault.FIN, Fault.SWALLOW])
def test_the_connection_breaks(server: Server, fault: Fault, kind: str) -> None:
    """The next one is made, and the sequence is exact."""
    # Each silence takes its time.
    sizes = (900, 30) if fault is Fault.SWALLOW else (900, 100, 700, 30)
    plan = [Faults(fault=fault, after_bytes=size) for size in sizes]
    with running_proxy(server.host, server.port, faults=plan) as proxy:
        patience = 0.5 if fault is Fault.SWALLOW else 10
        reading = read(kind, f"http://127.0.0.1:{proxy.port}/goes-on", idle_timeout=patience)
        assert len(proxy.connections) >= len(plan) + 1
    assert (reading.data, reading.error) == (EVERYTHING, None)
    assert (StreamStalled if fault is Fault.SWALLOW else StreamTruncated) in reading.errors


@pytest.mark.parametrize("kind", READERS)
def test_the_stream_ends_alone(server: Server, kind: str) -> None:
    """It is asked for again, over the same connection."""
    with running_proxy(server.host, server.port) as proxy:
        reading = read(kind, f"http://127.0.0.1:{proxy.port}/ends")
        assert len(proxy.connections) == 1
    assert (reading.data, reading.errors) == (EVERYTHING, [None] * 11)


@pytest.mark.parametrize("kind", READERS)
def test_the_stream_is_reset_alone(kind: str) -> None:
    """As a hop does whose server broke: that is a fault, and the connection goes on."""
    with resetting(TOTAL) as origin:
        reading = read(kind, origin.url)
    assert (reading.data, reading.errors) == (EVERYTHING, [StreamTruncated] * 10 + [None])
    assert origin.connections == 1


def test_two_streams_of_a_connection(server: Server) -> None:
    """One of them ends again and again; the other reads on, undisturbed, over the same connection."""

    async def follow(client: httpx2.AsyncClient, url: str) -> EventSource:
        async with EventSource(url, client=client, reconnect_delay=0) as events:
            assert [event.data async for event in events] == EVERYTHING
        return events

    async def main() -> None:
        async with (
            asyncio.timeout(20),
            FaultProxy(server.host, server.port) as proxy,
            httpx2.AsyncClient(http1=False, http2=True) as client,
        ):
            await client.get(f"http://127.0.0.1:{proxy.port}/health")
            urls = [f"http://127.0.0.1:{proxy.port}/{path}" for path in ("ends", "goes-on")]
            sources = await asyncio.gather(*(follow(client, url) for url in urls))
            assert [source.stats.connections for source in sources] == [10, 1]
            assert len(proxy.connections) == 1

    asyncio.run(main())
