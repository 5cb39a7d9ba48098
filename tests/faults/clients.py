"""A client down to its socket: what it reads, and the ways in which it leaves."""

from __future__ import annotations

import socket
import struct
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass

import h11

__all__ = ["BEHAVIOURS", "ON_THE_SPOT", "Client", "Post"]

READ_BYTES = 64 * 1024
RESET = struct.pack("ii", 1, 0)
"""SO_LINGER on, for zero seconds: closing sends RST and drops what is unsent."""


@dataclass(frozen=True, slots=True)
class Post:
    """What a client sends that does not just ask for a path."""

    body: bytes
    headers: tuple[tuple[str, str], ...]


class Client:
    """One request for a stream, over a socket that can be mistreated."""

    def __init__(
        self,
        address: tuple[str, int],
        path: str,
        receive_buffer: int | None = None,
        make_socket: Callable[[], socket.socket] = socket.socket,
        post: Post | None = None,
    ) -> None:
        self.sock = make_socket()
        self.sock.settimeout(10.0)
        if receive_buffer is not None:
            # Before connecting: the window's scale is settled in the handshake.
            self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        self.sock.connect(address)
        self.port: int = self.sock.getsockname()[1]
        self.status: int | None = None
        self.body = bytearray()
        self.end: str | None = None
        """"complete", "incomplete" or "reset", once the response has ended."""
        self._http = h11.Connection(h11.CLIENT)
        self._ask(path, post)

    def _ask(self, path: str, post: Post | None) -> None:
        body = post.body if post else b""
        headers = [("Host", "localhost"), *((*post.headers, ("Content-Length", str(len(body)))) if post else ())]
        request = h11.Request(method="POST" if post else "GET", target=path, headers=headers)
        parts = (request, h11.Data(data=body), h11.EndOfMessage())
        self.sock.sendall(b"".join(self._http.send(part) or b"" for part in parts))

    def read(self) -> None:
        """Take one piece of the response from the socket."""
        try:
            self._http.receive_data(self.sock.recv(READ_BYTES))
            self._take_events()
        except (ConnectionResetError, BrokenPipeError):
            self.end = "reset"
        except h11.RemoteProtocolError:
            self.end = "incomplete"

    def _take_events(self) -> None:
        while (event := self._http.next_event()) not in (h11.NEED_DATA, h11.PAUSED):
            match event:
                case h11.Response():
                    self.status = event.status_code
                case h11.Data():
                    self.body += event.data
                case h11.EndOfMessage():
                    self.end = "complete"
                case h11.ConnectionClosed():
                    self.end = self.end or "incomplete"
                    return

    def read_until(self, enough: Callable[[], bool]) -> None:
        """Read until `enough()`, or the response's end."""
        while self.end is None and not enough():
            self.read()

    def read_items(self, count: int) -> None:
        """Read until `count` items have begun to arrive."""
        self.read_until(lambda: self.body.count(b"data: ") >= count)

    def numbers(self) -> list[int]:
        """The numbers of the items that have arrived whole."""
        whole = bytes(self.body).split(b"\n\n")[:-1]
        return [int(event.split()[1]) for event in whole if event.startswith(b"data: ")]

    def say_goodbye(self) -> None:
        """Send FIN; whatever still comes is answered with RST, as after the end of a process.

        A plain close() would send no FIN where something is unread. And what is unread must be taken: a window
        that stays shut would hold back the data that is to be answered.
        """
        with suppress(OSError):  # the server was first
            self.sock.shutdown(socket.SHUT_RDWR)
            while self.sock.recv(READ_BYTES):
                pass

    def close(self) -> None:
        """Close the socket; the kernel sends FIN, or RST where something is unread."""
        self.sock.close()


def leave_by_fin(client: Client) -> None:
    """Leave properly."""
    client.read_items(1)
    client.say_goodbye()


def leave_by_reset(client: Client) -> None:
    """Drop the connection."""
    client.read_items(1)
    client.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
    client.sock.close()


def half_close(client: Client) -> None:
    """End the sending side and go on reading."""
    client.read_items(1)
    client.sock.shutdown(socket.SHUT_WR)
    client.read_until(lambda: False)


def freeze(client: Client) -> None:
    """Read a little, then stop without a sign."""
    client.read_items(1)


def vanish(client: Client) -> None:
    """Get ready to be cut off: that is done to all clients of a network together."""
    client.read_items(1)


def never_read(client: Client) -> None:
    """Take nothing, not even the status line."""


def read_slowly(client: Client) -> None:
    """Read at two megabytes a second for a while, then leave."""
    until = time.monotonic() + 1.2
    while client.end is None and time.monotonic() < until:
        client.sock.settimeout(max(until - time.monotonic(), 0.001))
        try:
            client.read()
        except TimeoutError:
            break
        time.sleep(0.03)
    client.say_goodbye()


def pipeline_and_leave(client: Client) -> None:
    """Ask for more on the same connection, and leave."""
    client.read_items(1)
    client.sock.sendall(b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n")
    client.say_goodbye()


BEHAVIOURS: dict[str, Callable[[Client], None]] = {
    "fin": leave_by_fin,
    "rst": leave_by_reset,
    "half-close": half_close,
    "freeze": freeze,
    "slow": read_slowly,
    "never-reads": never_read,
    "pipelined": pipeline_and_leave,
    "vanish": vanish,
}
ON_THE_SPOT = tuple(behaviour for behaviour in BEHAVIOURS if behaviour != "vanish")
"""Those that need nothing but a socket."""
