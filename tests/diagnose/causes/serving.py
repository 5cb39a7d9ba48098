"""A real server in a thread, and a client down to its socket: what only these show."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

import uvicorn

__all__ = ["Serving", "read_until", "request", "serving"]

DEADLINE = 10.0


@dataclass(frozen=True, slots=True)
class Serving:
    """A server that is up."""

    server: uvicorn.Server
    thread: threading.Thread
    listener: socket.socket

    @property
    def port(self) -> int:
        """Where it listens, on loopback."""
        port: int = self.listener.getsockname()[1]
        return port


@contextlib.contextmanager
def serving(app: Any, http: Literal["auto", "h11"] = "auto") -> Iterator[Serving]:
    """Serve an application with uvicorn on a free port; end it by force if need be."""
    listener = socket.create_server(("127.0.0.1", 0))
    server = uvicorn.Server(uvicorn.Config(app, http=http, log_level="critical", lifespan="off"))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
    thread.start()
    try:
        _wait_for_start(server)
        yield Serving(server, thread, listener)
    finally:
        server.should_exit = server.force_exit = True
        thread.join(DEADLINE)
        listener.close()


def _wait_for_start(server: uvicorn.Server) -> None:
    deadline = time.monotonic() + DEADLINE
    while not server.started:
        assert time.monotonic() < deadline, "the server did not start"
        time.sleep(0.005)


@contextlib.contextmanager
def request(port: int, path: str = "/stream") -> Iterator[socket.socket]:
    """Ask for a path, and give the connection."""
    with socket.create_connection(("127.0.0.1", port), timeout=DEADLINE) as client:
        client.sendall(f"GET {path} HTTP/1.1\r\nHost: localhost\r\nAccept: text/event-stream\r\n\r\n".encode())
        yield client


def read_until(client: socket.socket, text: bytes, timeout: float = DEADLINE) -> bytes:
    """Read until `text` has arrived, the connection ends or `timeout` has passed; return what has come."""
    received = b""
    deadline = time.monotonic() + timeout
    while text not in received and (left := deadline - time.monotonic()) > 0:
        client.settimeout(left)
        try:
            piece = client.recv(65536)
        except TimeoutError:
            break
        if not piece:
            break
        received += piece
    return received
