"""A server, or the process it is in, is told to stop while detached streams are open."""

from __future__ import annotations

import signal
from types import MappingProxyType

import pytest

from tests.faults.servers import Server, ServerKind
from tests.servers.direct_drain_app import FAREWELL
from tests.servers.direct_server import PROTOCOL, Client, is_lost, serving, until

pytest.importorskip("httptools")
pytest.importorskip("uvloop")

UVICORN = ("uvicorn", "{app}", "--host", "{host}", "--port", "{port}", "--no-access-log", "--http", PROTOCOL)
WORKER = "tests.servers.direct_drain_app.Worker"
COMMANDS = MappingProxyType(
    {
        "asyncio": (*UVICORN, "--loop", "asyncio"),
        "uvloop": (*UVICORN, "--loop", "uvloop"),
        "gunicorn": ("gunicorn", "{app}", "-b", "{host}:{port}", "-k", WORKER, "--no-control-socket"),
    }
)
APPLICATION = "tests.servers.direct_drain_app:app"


@pytest.mark.parametrize("server", ["asyncio", "uvloop", "gunicorn"])
def test_the_owner_s_farewell_is_read_to_its_end_and_lets_the_process_go(server: str) -> None:
    """At SIGTERM, with no time limit of the server's: each body is complete, the lifespan ends, nothing is logged."""
    process = Server.start(ServerKind(f"direct-{server}", COMMANDS[server]), APPLICATION)
    try:
        clients = [opened(process, "/drained") for _ in range(5)]
        process.process.send_signal(signal.SIGTERM)
        assert [client.body() for client in clients] == [b"open " + FAREWELL] * 5
        process.process.wait(10)
        assert "lifespan ended" in process.stdout()
        assert "ERROR" not in process.stderr()
        assert "Traceback" not in process.stderr()
    finally:
        process.stop()


@pytest.mark.parametrize("server", ["asyncio", "uvloop"])
def test_a_stream_nobody_ends_is_cut_when_the_server_s_patience_is_over(server: str) -> None:
    """`--timeout-graceful-shutdown` holds as for any response, and the lifespan ends in good order."""
    command = (*COMMANDS[server], "--timeout-graceful-shutdown", "1")
    process = Server.start(ServerKind(f"direct-{server}", command), APPLICATION)
    try:
        client = opened(process, "/idle")
        assert process.ends_on(signal.SIGTERM, 10)
        client.close()
        assert "lifespan ended" in process.stdout()
        assert "ERROR" not in process.stderr()
    finally:
        process.stop()


def opened(process: Server, path: str) -> Client:
    """Return a client that has the first bytes of a stream."""
    client = Client(process.port)
    client.ask(path)
    client.read_until(b"open ")
    return client


@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
def test_a_shutdown_leaves_its_streams_to_their_owner(loop: str) -> None:
    """They are not cut while he says farewell, and hold the server up no longer than that."""
    with serving(loop, timeout_graceful_shutdown=None) as server:
        opened = [server.open() for _ in range(10)]
        server.uvicorn.should_exit = True
        until(lambda: not server.uvicorn.servers[0].is_serving())
        for _, stream in opened:
            server.write(stream, b"fare")
        for client, stream in opened:
            server.end(stream, b"well")
            assert client.body() == b"asgi farewell"


@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
def test_an_owner_that_does_nothing_holds_a_shutdown_no_longer_than_any_response(loop: str) -> None:
    """Just before uvicorn's patience is over the streams are aborted; so there is nothing to log."""
    with serving(loop, timeout_graceful_shutdown=1) as server:
        client, stream = server.open()
        server.uvicorn.should_exit = True
        until(lambda: is_lost(stream))
        client.close()
    assert stream.told == ["lost"]


@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
def test_a_shutdown_s_patience_goes_before_an_owner_s(loop: str) -> None:
    """A client that takes nothing has no more time for the end than the server has."""
    with serving(loop, timeout_graceful_shutdown=1) as server:
        client, stream = server.open(buffer=8192)
        while not server.call(lambda: stream.direct.paused):
            server.write(stream, b"x" * 65536)
        server.uvicorn.should_exit = True
        until(lambda: not server.uvicorn.servers[0].is_serving())
        server.end(stream, timeout=60.0)
        until(lambda: is_lost(stream))
        client.close()
