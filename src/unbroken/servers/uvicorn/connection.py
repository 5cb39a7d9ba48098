"""uvicorn, and gunicorn with uvicorn's worker. Seen in 0.13 to 0.54.

Its `send` is a method of the request's cycle, which holds the transport.

* A client's leaving reaches `receive()`, but for one that has sent a further
  request on the same connection (pipelining): httptools then marks only the
  newest cycle. The transport, or its socket where reading is paused, tells.
* Backpressure by the transport's buffer (64 KiB), on HTTP/1.1. On HTTP/2 (zttp)
  writes are accepted without bound; the stream's `pending_bytes` tells how much.
* `transport.close()` waits for a buffer that a client which reads nothing never
  empties, and the server's shutdown waits for that. `abort()` does not.
"""

from __future__ import annotations

from typing import Any

from unbroken.servers.connection import Connection
from unbroken.servers.tcp import acknowledged_bytes, is_established

__all__ = ["acknowledged_through", "is_alive_through", "recognise"]

BYTES_UNSEEN = 0


def recognise(send: Any) -> Connection | None:
    """Return the connection behind uvicorn's own `send`, or None if it is not uvicorn's."""
    cycle = getattr(send, "__self__", None)
    if not type(cycle).__module__.startswith("uvicorn.") or not hasattr(cycle, "transport"):
        return None
    return _Stream(cycle) if hasattr(cycle, "abort_stream") else _Cycle(cycle)


def is_alive_through(transport: Any) -> bool:
    """Whether the transport's connection is open to both sides; True where its socket cannot be seen."""
    if transport.is_closing():
        return False
    sock = transport.get_extra_info("socket")
    return sock is None or is_established(sock.fileno())


def acknowledged_through(transport: Any) -> int:
    """Return the bytes that the transport's peer has acknowledged; 0 if not known."""
    sock = transport.get_extra_info("socket")
    return 0 if sock is None or sock.fileno() < 0 else acknowledged_bytes(sock.fileno())


class _Cycle:
    """A request on an HTTP/1.1 connection."""

    __slots__ = ("_cycle",)
    takes_any_amount = False

    def __init__(self, cycle: Any) -> None:
        self._cycle = cycle

    def is_alive(self) -> bool:
        return is_alive_through(self._cycle.transport)

    def is_closed(self) -> bool:
        return bool(self._cycle.transport.is_closing())

    def backlog_bytes(self) -> int:
        return 0

    def acknowledged_bytes(self) -> int:
        return acknowledged_through(self._cycle.transport)

    def abort(self) -> None:
        self._cycle.transport.abort()
        # What connection_lost tells the newest cycle only; without it the end of an older one is logged as an error.
        self._cycle.disconnected = True
        self._cycle.message_event.set()

    def truncate(self) -> None:
        """An exception closes the transport, without the terminating chunk."""


class _Stream(_Cycle):
    """A stream of an HTTP/2 connection; the other streams of it must live on."""

    __slots__ = ()
    takes_any_amount = True

    def backlog_bytes(self) -> int:
        pending = getattr(self._cycle.stream, "pending_bytes", None) or BYTES_UNSEEN
        return int(pending) + int(self._cycle.transport.get_write_buffer_size())

    def acknowledged_bytes(self) -> int:
        return -self.backlog_bytes()  # nothing is written meanwhile; the socket's own count is of all streams

    def abort(self) -> None:
        self._cycle.abort_stream()
        self._cycle.message_event.set()
