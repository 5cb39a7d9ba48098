"""hypercorn. Seen in 0.17 and 0.18.

Its `send` is `app_send` of the HTTP stream, which passes events on to the
protocol: H11Protocol, or H2Protocol for many streams on one connection.

* HTTP/1.1 has backpressure (`drain`); a client's leaving reaches `receive()`.
  One hidden behind a pipelined request is noticed when a write fails.
* On HTTP/2 its buffer lets a writer go on as soon as the sender has looked at it,
  whether or not the peer's window let anything leave: without us it grows for ever.
* On HTTP/2 an application that raises leaves the stream open. It is reset here.
* It cannot be told to stop earlier: at SIGTERM streams are cancelled after
  `graceful_timeout` (3 s), and what takes longer than that in a cleanup is cut off.
"""

from __future__ import annotations

import asyncio
from typing import Any

from unbroken.servers.connection import Connection, Scope
from unbroken.servers.tcp import TcpConnection

__all__ = ["recognise"]

INTERNAL_ERROR = 2
"""RFC 9113, 7: the code of a stream that its server could not finish."""


def recognise(scope: Scope, send: Any) -> Connection | None:
    """Return the connection behind hypercorn's own `send`, or None if it is not hypercorn's or is HTTP/1.1."""
    stream: Any = getattr(send, "__self__", None)
    if not type(stream).__module__.startswith("hypercorn."):
        return None
    protocol = getattr(getattr(stream, "send", None), "__self__", None)
    if not hasattr(protocol, "stream_buffers") or not hasattr(protocol, "connection"):
        return TcpConnection(scope)
    return _Stream(protocol, stream.stream_id)


class _Stream:
    """A stream of an HTTP/2 connection."""

    takes_any_amount = True

    def __init__(self, protocol: Any, stream_id: int) -> None:
        self._protocol = protocol
        self._stream_id = stream_id
        self._flushing: asyncio.Future[None] | None = None

    def is_alive(self) -> bool:
        return self._stream_id in self._protocol.stream_buffers

    def is_closed(self) -> bool:
        return False

    def backlog_bytes(self) -> int:
        buffer = self._protocol.stream_buffers.get(self._stream_id)
        return 0 if buffer is None else len(buffer.buffer)

    def acknowledged_bytes(self) -> int:
        return -self.backlog_bytes()  # nothing is written meanwhile

    def abort(self) -> None:
        if self.is_alive() and not self._protocol.closed:
            self._protocol.connection.reset_stream(self._stream_id, error_code=INTERNAL_ERROR)
            # Its write is a coroutine. It is kept here, and asks for nothing but the connection's own lock.
            self._flushing = asyncio.ensure_future(self._protocol._flush())

    def truncate(self) -> None:
        self.abort()
