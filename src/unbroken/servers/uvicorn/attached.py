"""A connection that is written to directly: what uvicorn's protocol is exchanged for, once that is done with it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from operator import methodcaller
from typing import Any, Protocol

from unbroken.servers.direct import LAST_CHUNK, Watcher
from unbroken.servers.tcp import detect_dead_peer
from unbroken.servers.uvicorn.connection import acknowledged_through, is_alive_through

__all__ = ["Attachable", "DirectProtocol"]

MAX_DISCARDED_BYTES = 64 * 1024
"""Of what a client sends while it should only read; more aborts its connection."""

END_TIMEOUT = 10.0
"""Seconds a client has to take the rest of a response that is over."""

BEFORE_TIMEOUT = 0.2
"""Seconds before the end of uvicorn's patience: it looks for open connections every 0.1 s, and calls it an error if
some are left when it is over."""


class Attachable(Protocol):
    """uvicorn's protocol, as far as it matters here."""

    transport: Any
    config: Any
    server_state: Any
    flow: Any

    def allows(self, direct: DirectProtocol) -> bool:
        """Whether the response under way may be written to directly."""
        ...

    def leave(self) -> None:
        """Be done with the connection."""
        ...

    def connection_lost(self, exc: Exception | None) -> None:
        """Hear that the connection is gone."""
        ...

    def pause_writing(self) -> None:
        """Hear that the transport has too much to write."""
        ...

    def resume_writing(self) -> None:
        """Hear that there is room again."""
        ...


class DirectProtocol(asyncio.Protocol):
    """A `DirectConnection` on uvicorn: unused until it is attached, then the protocol of the transport.

    It replaces the server's protocol there and among the server's connections, and
    holds nothing of the request: a parser, two deques, an event, the scope and the
    headers are freed when the connection is detached.
    """

    # Ten thousand of them may be idle.
    __slots__ = (
        "_config", "_deadline", "_discarded", "_protocol", "_state", "_transport", "_watcher", "paused", "write",
    )  # fmt: skip

    takes_any_amount = True

    write: Callable[[bytes], None]

    def __init__(self, protocol: Attachable) -> None:
        self._protocol: Attachable | None = protocol
        self._transport = protocol.transport
        self._config = protocol.config
        self._state = protocol.server_state
        self._watcher: Watcher | None = None
        self._deadline: asyncio.TimerHandle | None = None
        self._discarded = 0
        self.paused = False

    @property
    def is_attached(self) -> bool:
        """Whether somebody writes directly, and the connection has not been lost."""
        return self._watcher is not None

    # What the owner of the stream calls.

    def attach(self, watcher: Watcher) -> bool:
        """Take the transport over from uvicorn's protocol."""
        protocol = self._protocol
        if protocol is None or self.is_attached or not protocol.allows(self):
            return False
        self._watcher = watcher
        self.write = self._transport.write
        self.paused = protocol.flow.write_paused
        # Or the client's leaving would not be seen.
        protocol.flow.resume_reading()
        # In this order: uvicorn's limit_concurrency counts them, and nothing can come in between.
        self._state.connections.discard(protocol)
        self._state.connections.add(self)
        self._transport.set_protocol(self)
        return True

    def detach(self) -> None:
        """Have uvicorn's protocol let go of the request."""
        if self.is_attached and self._protocol is not None:
            protocol, self._protocol = self._protocol, None
            protocol.leave()

    def forget(self) -> None:
        """Let go of uvicorn's protocol, which is done with the connection."""
        self._protocol = None

    def end(self, last: bytes = b"", *, timeout: float = END_TIMEOUT) -> None:
        """Complete the body and close."""
        if self.is_attached and not self._transport.is_closing():
            self._transport.write(last + LAST_CHUNK)
            self.complete(timeout)

    def complete(self, timeout: float = END_TIMEOUT) -> None:
        """Close after a body that is complete, which uvicorn counts as served."""
        self._state.total_requests += 1
        self._close(timeout)

    def truncate(self) -> None:
        """Close after a body that is not complete."""
        self._close(END_TIMEOUT)

    def abort(self) -> None:
        """Break the connection now."""
        self.detach()
        self.write = _discard
        self._transport.abort()

    def _close(self, timeout: float) -> None:
        if self._transport.is_closing():
            return
        # First: the ASGI call may return as soon as it hears of the end, and has completed nothing itself.
        self.detach()
        self.write = _discard
        self._transport.close()
        self._abort_in(timeout)

    def is_alive(self) -> bool:
        """Whether both sides are open."""
        return is_alive_through(self._transport)

    def is_closed(self) -> bool:
        """Whether it is gone, or about to be."""
        return bool(self._transport.is_closing())

    def backlog_bytes(self) -> int:
        """Return what the transport holds."""
        return int(self._transport.get_write_buffer_size())

    def acknowledged_bytes(self) -> int:
        """Return what the client's kernel has acknowledged."""
        return acknowledged_through(self._transport)

    def set_dead_peer_timeout(self, seconds: float) -> bool:
        """Set TCP keep-alive and TCP_USER_TIMEOUT on this socket alone."""
        sock = self._transport.get_extra_info("socket")
        return sock is not None and detect_dead_peer(sock.fileno(), seconds)

    # What the transport calls.

    def connection_lost(self, exc: Exception | None) -> None:
        """Tell uvicorn's protocol, if the request is still open, and then the owner."""
        self._state.connections.discard(self)
        self.write = _discard
        if self._deadline is not None:
            self._deadline.cancel()
        watcher, self._watcher = self._watcher, None
        protocol, self._protocol = self._protocol, None
        if protocol is not None:
            protocol.connection_lost(exc)
        if watcher is not None:
            watcher.on_lost()

    def eof_received(self) -> None:
        """Take a client that closes its side for one that has left: closing waits for what it may never read."""
        self.abort()

    def data_received(self, data: bytes) -> None:
        """Throw away what the client says: an answer to it would stand in the middle of the stream."""
        self._discarded += len(data)
        if self._discarded > MAX_DISCARDED_BYTES:
            self.abort()

    def pause_writing(self) -> None:
        """Tell everybody."""
        self.paused = True
        if self._protocol is not None:
            self._protocol.pause_writing()
        if self._watcher is not None:
            self._watcher.on_paused()

    def resume_writing(self) -> None:
        """Tell everybody."""
        self.paused = False
        if self._protocol is not None:
            self._protocol.resume_writing()
        if self._watcher is not None:
            self._watcher.on_resumed()

    # What uvicorn calls.

    def shutdown(self) -> None:
        """Leave it to the owner to end the stream, for as long as uvicorn waits for responses."""
        patience = self._config.timeout_graceful_shutdown
        if patience is not None:
            self._abort_in(max(0.0, patience - BEFORE_TIMEOUT))

    def _abort_in(self, seconds: float) -> None:
        # Only to be put forward: what ends during a shutdown has no more time than the shutdown.
        due = asyncio.get_running_loop().call_later(seconds, self.abort)
        if self._deadline is not None:
            due, later = sorted((due, self._deadline), key=methodcaller("when"))
            later.cancel()
        self._deadline = due


def _discard(chunk: bytes) -> None:
    """Write nothing: the response is over."""
