"""Streams that share an HTTP/2 connection: each ends alone."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from .cells import stream_path, wait_for
from .http2 import Http2Client
from .servers import APPLICATION, SERVERS, Server, ServerKind

ZTTP = ServerKind("uvicorn-zttp-http2", (*SERVERS["uvicorn-zttp-asyncio"].command, "--http2"))
KINDS = {kind.name: kind for kind in (ZTTP, SERVERS["hypercorn"], SERVERS["granian"])}
ITEM = 1024
WINDOW = 65_535
"""RFC 9113, 6.9.2: what a stream may be sent before its reader has granted more."""


@pytest.fixture(scope="module", params=list(KINDS.values()), ids=list(KINDS))
def server(request: pytest.FixtureRequest) -> Iterator[Server]:
    """Give a server that speaks HTTP/2 on a plain socket."""
    running = Server._launch(request.param, APPLICATION, "127.0.0.1")
    try:
        assert running._answers(), running.stderr()
        yield running
    finally:
        running.stop()


@pytest.fixture
def client(server: Server) -> Iterator[Http2Client]:
    """Give a connection to it."""
    connection = Http2Client((server.host, server.port))
    yield connection
    connection.close()


def observed(server: Server, probe: str) -> Any:
    """Return what the stream's probe noted."""
    return server.json(f"/observed/{probe}")


def recorded(server: Server, probe: str, timeout: float = 10.0) -> Any:
    """Return the probe's notes once the stream has ended and its generator is gone."""
    assert wait_for(lambda: bool(observed(server, probe)["records"]), timeout), observed(server, probe)
    return observed(server, probe)


def test_a_stream_that_is_left_ends_alone(server: Server, client: Http2Client) -> None:
    """RST_STREAM reaches the generator of its stream; a sibling on the same connection flows on."""
    left = client.get(stream_path("sleeping", "left", {}))
    stays = client.get(stream_path("ticking", "stays", {}))
    assert client.read_until(lambda: bool(client.bodies[left]) and bool(client.bodies[stays]))
    client.reset(left)
    notes = recorded(server, "left")
    assert notes["seen"] == [["CancelledError", "await"], ["ClientDisconnected", "scope"]]
    assert (notes["records"][0]["reason"], notes["finally_done"]) == ("client_closed", 1)
    so_far = len(client.bodies[stays])
    assert client.read_until(lambda: len(client.bodies[stays]) > so_far)
    client.close()
    assert recorded(server, "stays")["records"][0]["reason"] == "client_closed"


def test_what_waits_for_a_reader_without_window_is_bounded(server: Server, client: Http2Client) -> None:
    """A stream whose reader grants nothing is held, and given up; its siblings are served all the while."""
    deaf = client.get(stream_path("busy", "deaf", {"send_timeout": 1.0, "size": ITEM}), deaf=True)
    assert client.read_until(lambda: len(client.bodies[deaf]) == WINDOW)
    health = client.get("/health")
    assert client.read_until(lambda: client.ends.get(health) == "complete")
    notes = recorded(server, "deaf")
    assert notes["records"][0]["reason"] == "send_timeout"
    assert notes["seen"] == [["ClientDisconnected", "yield"]]
    # The window, what the library lets wait (256 KiB), what the server takes by itself (ten messages of 64 KiB),
    # and a batch: without a bound it would be tens of megabytes by then.
    assert notes["items"] * ITEM < WINDOW + 2 * 256 * 1024 + 10 * 64 * 1024
    if server.kind.name != "granian":  # which offers no way to abort a single stream
        assert client.read_until(lambda: client.ends.get(deaf) == "reset")
    again = client.get("/health")
    assert client.read_until(lambda: client.ends.get(again) == "complete")


def test_a_generator_that_raises_resets_its_stream(server: Server, client: Http2Client) -> None:
    """A failed stream is told in the body and visibly incomplete; it does not stay open, nor look finished."""
    failed = client.get(stream_path("raising", "failed", {"patience": 0.1}))
    assert client.read_until(lambda: failed in client.ends), bytes(client.bodies[failed])
    assert client.ends[failed] == "reset"
    assert b"event: stream-error\n" in client.bodies[failed]
    assert recorded(server, "failed")["records"][0]["reason"] == "producer_error"
