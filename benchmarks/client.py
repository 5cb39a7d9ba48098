"""The clients: raw sockets, so that they cost the machine little and the server nothing."""

from __future__ import annotations

import contextlib
import socket
import time
from collections.abc import Iterator

from benchmarks.peers import MARK

__all__ = ["CLIENT_CORE", "make_requests", "open_streams", "read_stream"]

CLIENT_CORE = 1
TIMEOUT = 120.0
_BUFFER = 1 << 20
_LAST_CHUNK = b"0\r\n\r\n"


def _connect(port: int, path: str, events: int) -> socket.socket:
    connection = socket.create_connection(("127.0.0.1", port), TIMEOUT)
    # The server closes after the body, so its end is the end of the connection, without a parser here.
    request = f"GET /{path}?events={events} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
    connection.sendall(request.encode())
    return connection


def read_stream(port: int, path: str, events: int) -> int:
    """Read one stream to its end and give the number of events that came; raise if the body is cut short."""
    with _connect(port, path, events) as connection:
        connection.setblocking(False)
        count, tail = _drain(connection)
    if tail != _LAST_CHUNK:
        raise RuntimeError(f"/{path} ended without the last chunk, after {count} of {events} events: {tail!r}")
    return count


def _drain(connection: socket.socket) -> tuple[int, bytes]:
    # It spins instead of waiting: a sleeping client makes the server pay for waking it, at every small write.
    buffer = bytearray(_BUFFER)
    count, tail, deadline = 0, b"", time.monotonic() + TIMEOUT
    while True:
        try:
            size = connection.recv_into(buffer)
        except BlockingIOError:
            if time.monotonic() > deadline:
                raise TimeoutError(f"no end of the stream within {TIMEOUT:.0f} s, after {count} events") from None
            continue
        if not size:
            return count, tail
        count += buffer.count(MARK, 0, size)
        tail = (tail + bytes(buffer[max(0, size - len(_LAST_CHUNK)) : size]))[-len(_LAST_CHUNK) :]


def make_requests(port: int, path: str, count: int) -> int:
    """Make requests one after the other on one connection, and give the number of answers that came whole."""
    request = f"GET /{path} HTTP/1.1\r\nHost: localhost\r\nAccept: */*\r\n\r\n".encode()
    with socket.create_connection(("127.0.0.1", port), TIMEOUT) as connection:
        connection.setblocking(False)
        return sum(_ask(connection, request) for _ in range(count))


def _ask(connection: socket.socket, request: bytes) -> bool:
    connection.sendall(request)
    received, deadline = b"", time.monotonic() + TIMEOUT
    while MARK not in received and time.monotonic() < deadline:
        with contextlib.suppress(BlockingIOError):  # it spins, as above
            part = connection.recv(_BUFFER)
            if not part:
                return False
            received += part
    return received.startswith(b"HTTP/1.1 200 ") and MARK in received


@contextlib.contextmanager
def open_streams(port: int, path: str, streams: int) -> Iterator[list[socket.socket]]:
    """Open streams one after the other, each up to its first event, and hold them."""
    with contextlib.ExitStack() as held:
        yield [held.enter_context(_open_stream(port, path)) for _ in range(streams)]


def _open_stream(port: int, path: str) -> socket.socket:
    connection = _connect(port, path, events=1)
    received = b""
    while MARK not in received:
        part = connection.recv(65536)
        if not part:
            raise RuntimeError(f"/{path} was closed before its first event: {received!r}")
        received += part
    connection.setblocking(False)
    return connection


def still_open(connection: socket.socket) -> bool:
    """Tell whether a held stream has not been closed by the server."""
    try:
        return connection.recv(65536) != b""
    except BlockingIOError:
        return True
