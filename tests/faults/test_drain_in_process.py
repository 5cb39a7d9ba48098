"""Servers inside this process, in threads: no signal reaches them, and a loop may outlive them."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import Any

import pytest
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.routing import Route

from unbroken import EventSourceResponse

from .cells import wait_for
from .clients import Client
from .shutdowns import end_of, read_all

TIMEOUT = 10.0


async def ticking() -> AsyncIterator[str]:
    """Go on talking."""
    while True:
        yield "x"
        await asyncio.sleep(0.01)


async def stream(_: Request) -> EventSourceResponse:
    """Stream for ever."""
    return EventSourceResponse(ticking())


class Running:
    """A server on a loop of somebody's."""

    def __init__(self, **where: Any) -> None:
        app = Starlette(routes=[Route("/", stream)])
        self.server = uvicorn.Server(uvicorn.Config(app, log_level="warning", lifespan="off", **where))

    @property
    def address(self) -> Any:
        """Where it listens, once it does."""
        return self.server.servers[0].sockets[0].getsockname()

    def client(self, make_socket: Callable[[], socket.socket] = socket.socket) -> Client:
        """Open a stream, and read its first event."""
        assert wait_for(lambda: self.server.started, TIMEOUT, interval=0.01)
        client = Client(self.address, "/", make_socket=make_socket)
        client.read_items(1)
        return client


@contextmanager
def thread(run: Callable[[], object], *servers: Running) -> Iterator[None]:
    """Run servers in a thread, and see it end; at the latest by force."""
    running = threading.Thread(target=run, daemon=True)
    running.start()
    try:
        yield
        running.join(TIMEOUT)
        assert not running.is_alive()
    finally:
        for server in servers:
            server.server.should_exit = server.server.force_exit = True
        running.join(TIMEOUT)


def read_to_the_end(*clients: Client) -> list[tuple[str | None, bool]]:
    """Say how the streams end, and whether with our last words."""
    read_all({"all": list(clients)}, TIMEOUT)
    return [(end, retry is not None) for end, retry in map(end_of, clients)]


class UnixSocket(socket.socket):
    """A client's socket whose name has a port, as that of every TCP socket."""

    def __init__(self) -> None:
        super().__init__(socket.AF_UNIX)

    def getsockname(self) -> tuple[str, int]:
        return "", 0


@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
def test_a_server_in_a_thread_drains_when_it_is_told_to_stop(loop: str) -> None:
    """`should_exit` is all that it hears; its streams end, and it does."""
    running = Running(port=0, loop=loop)
    with thread(running.server.run, running), closing(running.client()) as client:
        running.server.should_exit = True
        assert read_to_the_end(client) == [("complete", True)]


def test_a_server_on_a_unix_socket_drains(tmp_path: Path) -> None:
    """Its listening socket is known by its path."""
    running = Running(uds=str(tmp_path / "server.sock"))
    with thread(running.server.run, running), closing(running.client(UnixSocket)) as client:
        running.server.should_exit = True
        assert read_to_the_end(client) == [("complete", True)]


def test_servers_on_one_loop_drain_one_by_one() -> None:
    """The end of one is none of the other's, nor of the one that follows it at the same port."""
    first, beside, after = (Running(port=0) for _ in range(3))

    async def main() -> None:
        running = asyncio.create_task(beside.server.serve())
        await first.server.serve()
        await after.server.serve()
        await running

    with thread(lambda: asyncio.run(main()), first, beside, after), ExitStack() as clients:
        one, other = (clients.enter_context(closing(server.client())) for server in (first, beside))
        after.server.config.port = first.address[1]
        first.server.should_exit = True
        assert read_to_the_end(one) == [("complete", True)]
        later = clients.enter_context(closing(after.client()))
        later.read_items(50)
        other.read_items(50)
        assert (later.end, other.end) == (None, None)
        beside.server.should_exit = after.server.should_exit = True
        assert read_to_the_end(later, other) == [("complete", True)] * 2
