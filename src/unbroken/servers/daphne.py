"""daphne. Seen in 4.1 and 4.2.

Its `send` is a partial of the server's `handle_reply` with the Twisted request.

* No backpressure at all: what a client does not take piles up in the Twisted
  transport. How much is looked up there, and writing waits for it.
* An application that raises mid-stream leaves its client hanging: the response is
  never finished. Here its connection is closed, once what was written has left.
* At SIGTERM the connections are closed at once and the applications cancelled. So
  its handler is called only when the streams have ended (`cuts_at_signal`).
"""

from __future__ import annotations

from functools import partial
from typing import Any

from unbroken.servers.connection import Connection, Scope
from unbroken.servers.tcp import TcpConnection

__all__ = ["cuts_at_signal", "recognise"]


def recognise(scope: Scope, send: Any) -> Connection | None:
    """Return the connection behind daphne's own `send`, or None if it is not daphne's."""
    if not cuts_at_signal(send):
        return None
    request = send.args[0]
    return _Request(request) if hasattr(_transport(request), "abortConnection") else TcpConnection(scope)


def cuts_at_signal(send: Any) -> bool:
    """Whether this is daphne's own `send`: a server whose signal handler leaves no time for a farewell."""
    return isinstance(send, partial) and bool(send.args) and _is_daphne(send.args[0])


def _is_daphne(request: Any) -> bool:
    return type(request).__module__.startswith("daphne.")


def _transport(request: Any) -> Any:
    # The request's channel is gone once its connection is.
    return getattr(getattr(request, "channel", None), "transport", None)


class _Request:
    """A request on an HTTP/1.1 connection of Twisted's."""

    takes_any_amount = True

    def __init__(self, request: Any) -> None:
        self._request = request

    def is_alive(self) -> bool:
        return bool(getattr(_transport(self._request), "connected", False))

    def is_closed(self) -> bool:
        return False

    def backlog_bytes(self) -> int:
        transport = _transport(self._request)
        waiting = len(getattr(transport, "dataBuffer", b"")) - getattr(transport, "offset", 0)
        return waiting + int(getattr(transport, "_tempDataLen", 0))

    def acknowledged_bytes(self) -> int:
        return -self.backlog_bytes()  # nothing is written meanwhile

    def abort(self) -> None:
        transport = _transport(self._request)
        if transport is not None:
            transport.abortConnection()

    def truncate(self) -> None:
        transport = _transport(self._request)
        if transport is not None:
            transport.loseConnection()  # closes when its buffer is empty, and writes no terminating chunk
