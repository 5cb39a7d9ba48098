"""The readers: sockets that wait, so that the engines, on the same core, have the rest of it."""

from __future__ import annotations

import selectors
import socket
import time
from collections.abc import Callable, Collection
from urllib.parse import urlencode

from benchmarks.runs.tokens import Account, Pace

__all__ = ["Reader", "read_until"]

TIMEOUT = 30.0
_BUFFER = 1 << 16
_TAIL = 512
_LAST_CHUNK = b"0\r\n\r\n"


class Reader:
    """One reader of one stream."""

    def __init__(self, port: int, name: str, pace: Pace) -> None:
        query = urlencode({"tokens_": pace.tokens, "rate": pace.rate, "phase": pace.phase})
        self._socket = socket.create_connection(("127.0.0.1", port), TIMEOUT)
        self._socket.sendall(f"GET /stream/{name}?{query} HTTP/1.1\r\nHost: l\r\nConnection: close\r\n\r\n".encode())
        self._socket.setblocking(False)
        self._tail = b""
        self.account = Account()
        self.is_at_end = False

    def fileno(self) -> int:
        return self._socket.fileno()

    def close(self) -> None:
        self._socket.close()

    def read(self) -> None:
        received = self._socket.recv(_BUFFER)
        self.account.take(received)
        self._tail = (self._tail + received)[-_TAIL:]
        self.is_at_end = not received

    def ended_well(self, end: bytes) -> bool:
        """Whether the body is whole, and says so."""
        return self._tail.endswith(_LAST_CHUNK) and end in self._tail


def read_until(readers: Collection[Reader], enough: Callable[[Reader], bool]) -> None:
    """Read until each has enough, or its end."""
    deadline = time.monotonic() + TIMEOUT
    with selectors.DefaultSelector() as selector:
        for reader in readers:
            selector.register(reader, selectors.EVENT_READ, reader)
        while selector.get_map():
            ready = selector.select(max(0.0, deadline - time.monotonic()))
            if time.monotonic() > deadline:
                raise RuntimeError(f"{len(selector.get_map())} streams are not done within {TIMEOUT:.0f} s")
            for key, _ in ready:
                reader = key.data
                reader.read()
                if reader.is_at_end or enough(reader):
                    selector.unregister(reader)
