"""What people write, under every server: their line is printed, and nothing breaks."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from typing import Any

import pytest

from .cells import is_healthy, wait_for
from .clients import BEHAVIOURS, Client
from .servers import SERVERS, Server
from .test_matrix import NOISE

APPLICATION = f"{__package__}.main_job:app"
PRINTED_WITHIN = 1.0
"""Seconds after the client's leaving."""

SCOPED = ("sleep", "queue", "relay", "timeout", "task-group", "task-group-exit", "anyio-task-group")
LINES = {
    "catching": "Client disconnected, stopping event generator",
    **{shape: f"Client disconnected, stopping {shape}" for shape in (*SCOPED, "unscoped")},
}
LEFT_TO_THE_COLLECTOR = ("task-group", "task-group-exit")
"""asyncio.TaskGroup keeps the cancellation that it passes on in its own frame, and that cancellation's traceback keeps
the frame and the generator: on CPython up to 3.13 it is finalised at once, but freed by the collector only."""

Holdings = Mapping[str, Any]
Started = Callable[[str], tuple[Server, Holdings]]


@pytest.fixture(scope="module")
def upstream() -> Iterator[Server]:
    """Run the server whose stream is relayed."""
    running = Server.start("uvicorn-h11-asyncio", APPLICATION)
    yield running
    running.stop()


@pytest.fixture(scope="module")
def started(upstream: Server) -> Iterator[Started]:
    """Return the server of a name, running the application, and what it holds in peace; each is started once."""
    running: dict[str, tuple[Server, Holdings]] = {}
    with ExitStack() as servers:

        def start(name: str) -> tuple[Server, Holdings]:
            if name not in running:
                server = Server.start(name, APPLICATION)
                servers.callback(server.stop)
                running[name] = (server, warmed_up(server, upstream))
            return running[name]

        yield start


def warmed_up(server: Server, upstream: Server) -> Holdings:
    """Connect outwards, for which a loop opens what it keeps (libuv: a spare descriptor); return what is held then."""
    before = holdings(server)
    open_stream(server, path_of("relay", upstream)).close()
    assert wait_for(lambda: {**holdings(server), "descriptors": before["descriptors"]} == before, 5.0)
    return holdings(server)


def path_of(shape: str, upstream: Server) -> str:
    """Return the path of a stream of that shape."""
    return f"/{shape}?upstream=http://{upstream.host}:{upstream.port}/sleep" if shape == "relay" else f"/{shape}"


def open_stream(server: Server, path: str) -> Client:
    """Open a stream and read its first event."""
    client = Client((server.host, server.port), path)
    client.read_items(1)
    return client


def holdings(server: Server) -> Holdings:
    """Return what of the process a stream could have left behind."""
    taken = server.json("/census")
    return {what: taken[what] for what in ("tasks", "descriptors", "generators", "busy_threads")}


@pytest.mark.parametrize("leave", ["fin", "rst"])
@pytest.mark.parametrize("name", SERVERS)
def test_the_busy_generator_serves_and_survives(started: Started, name: str, leave: str) -> None:
    """It sends its events, others are answered all the while, and a client's leaving frees everything."""
    server, before = started(name)
    client = open_stream(server, "/busy")
    assert client.status == 200
    assert client.body.startswith(b"data: Hello\n\n")
    assert is_healthy(server)
    BEHAVIOURS[leave](client)
    assert is_healthy(server)
    wait_for(lambda: holdings(server) == before, 5.0, interval=0.02)
    client.close()
    assert holdings(server) == before
    assert NOISE.findall(server.stderr()) == [], server.stderr()


@pytest.mark.parametrize("leave", ["fin", "rst"])
@pytest.mark.parametrize("shape", LINES)
@pytest.mark.parametrize("name", SERVERS)
def test_the_line_is_printed_once(started: Started, upstream: Server, name: str, shape: str, leave: str) -> None:
    """Wherever the generator stands, it learns within a second that its client has left, once, and is freed."""
    server, before = started(name)
    printed = server.stdout().count(f"{LINES[shape]}\n")
    client = open_stream(server, path_of(shape, upstream))
    BEHAVIOURS[leave](client)
    assert wait_for(lambda: server.stdout().count(f"{LINES[shape]}\n") > printed, PRINTED_WITHIN, interval=0.01)
    if shape in LEFT_TO_THE_COLLECTOR:
        server.json("/collect", "POST")
    wait_for(lambda: holdings(server) == before, 5.0, interval=0.02)
    client.close()
    assert holdings(server) == before
    assert server.stdout().count(f"{LINES[shape]}\n") == printed + 1
    assert NOISE.findall(server.stderr()) == [], server.stderr()
