"""Writing a response past ASGI, where the server offers it: an extension of the scope, and what it promises.

ASGI costs a coroutine, a dict and a framing for each body and each client, and keeps
a task for as long as the response lives. A server that offers `DIRECT` lets whoever
fans one body out to thousands frame it once and write it to each transport, and lets
the ASGI call return while the response goes on.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from unbroken.servers.connection import Connection

__all__ = ["DIRECT", "LAST_CHUNK", "DirectConnection", "Watcher", "frame_chunk"]

DIRECT = "unbroken.direct"
"""Where a server that can leaves a request's `DirectConnection`, among the scope's extensions."""

LAST_CHUNK = b"0\r\n\r\n"
"""What ends a body in chunks."""


class Watcher(Protocol):
    """Who writes to a connection, and is told of it: plain calls, on its loop. They must neither wait nor raise."""

    def on_paused(self) -> None:
        """Hear that the client takes too little: what is written now piles up in memory, without bound.

        May be called inside `write`.
        """
        ...

    def on_resumed(self) -> None:
        """Hear that there is room again."""
        ...

    def on_lost(self) -> None:
        """Hear that the connection is gone, whoever ended it. Called once, never inside a call, and the last of all."""
        ...


class DirectConnection(Connection, Protocol):
    """One request's connection, to be written to directly once it is attached. To be used on its loop only.

    A connection that is attached serves no other request: it is closed with the response. What its client
    sends meanwhile is thrown away, and one that sends too much is cut off. A client that closes its side
    has left.
    """

    write: Callable[[bytes], None]
    """Writes chunks that `frame_chunk` has framed. Set by `attach`; after the end it throws away what it is given.

    It never waits: look at `paused` before. To be fetched anew for each write, or forgotten in `on_lost`: one that was
    kept may raise RuntimeError when the connection is closed."""

    paused: bool
    """The client is so far behind that the transport's buffer is above its mark (64 KiB)."""

    def attach(self, watcher: Watcher) -> bool:
        """Write the rest of the response directly from now on, and tell `watcher` what becomes of it.

        To be called when the start of the response, and every body that was sent after it, has been handed to the
        server's own `send`; so not where a middleware keeps them in a queue, nor where one changes bodies, as
        compression does (`servers.own_send` tells). `paused` may be true already. Nothing is kept if it cannot be.

        Returns:
            Whether it can be: only on HTTP/1.1, while the response is under way in chunks, after a request that was
            read to its end and that no other one waits behind.
        """
        ...

    def detach(self) -> None:
        """Let the ASGI call return, and the response go on: the request, its task and its scope are freed.

        To be called after `attach`. For the application it looks as if the client had left: `receive()` gives
        `http.disconnect`, and what it sends is thrown away. An exception that it raises still closes the connection.
        """
        ...

    def end(self, last: bytes = b"", *, timeout: float = 10.0) -> None:
        """Write `last`, framed already, and the end of the body; then close. A second call does nothing.

        Args:
            last: Chunks to be written before.
            timeout: Seconds the client has to take what it has not yet taken. Then the connection is aborted.
        """
        ...

    def set_dead_peer_timeout(self, seconds: float) -> bool:
        """Have the kernel give up this client when it does not answer for so long.

        Returns:
            Whether it could be done: only on Linux, and on TCP.
        """
        ...


def frame_chunk(body: bytes) -> bytes:
    """Return `body` as one chunk of HTTP/1.1, once for all clients; nothing for an empty one, which would end it."""
    return b"%x\r\n%b\r\n" % (len(body), body) if body else b""
