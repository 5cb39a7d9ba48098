"""The writing side of a stream: one writer at a time on the server's `send`."""

from __future__ import annotations

import asyncio
import contextlib
import types
from collections.abc import Awaitable, Callable, Coroutine, Generator, Iterator, MutableMapping
from typing import Any, Protocol

from unbroken.servers import Connection
from unbroken.stream.stepping import Trap, Waiter, outlast

__all__ = ["PIECE_BYTES", "Message", "Outlet", "Rest", "Send", "Watch"]

Message = MutableMapping[str, Any]
Send = Callable[[Message], Awaitable[None]]

Rest = Awaitable[None] | None
"""What of a write is still to be awaited, or None if all of it is done."""

PIECE_BYTES = 64 * 1024
"""The largest body message. Some servers bound what waits for a client by counting messages, not bytes."""

BACKLOG_BYTES = 256 * 1024
"""What may wait for a client inside a server that would take any amount, before the next write waits too."""
BACKLOG_INTERVAL = 0.02
"""Seconds between two looks at such a backlog: those servers have nothing that could be awaited instead."""


class Watch(Protocol):
    """Who is told how the writing goes."""

    def write_waits(self) -> None:
        """A write has begun to wait for the client (backpressure)."""
        ...

    def write_failed(self, error: BaseException) -> None:
        """A write raised."""
        ...

    def connection_lost(self) -> None:
        """The server has closed the connection, and would take writes in silence."""
        ...


class Outlet:
    """Starts the response, writes its body, and ends it. To be used on its event loop only.

    Writing is done by the pump, and beside it, while the pump waits in the
    producer, by a task of its own for a heartbeat; the two never overlap.
    """

    __slots__ = (
        "_acknowledged", "_aside", "_connection", "_loop", "_preamble", "_send", "_start", "_takes_any_amount",
        "_trap", "_waiter", "_watch", "last_write", "longest_silence", "sent_bytes", "shut", "started_at",
        "waits_since",
    )  # fmt: skip

    def __init__(self, send: Send, start: Message, preamble: bytes, connection: Connection, watch: Watch) -> None:
        self._send = send
        self._start: Message | None = start
        self._preamble = preamble
        self._connection = connection
        self._watch = watch
        self._takes_any_amount = connection.takes_any_amount
        self._loop = asyncio.get_running_loop()  # asking for it at each write costs a system call on Python 3.11
        self._aside: asyncio.Task[None] | None = None
        self._trap: Trap = None
        self._waiter: Waiter | None = None
        self.started_at: float | None = None
        self.last_write = self._loop.time()
        self.longest_silence = 0.0
        self.waits_since: float | None = None
        self._acknowledged: int | None = None
        self.sent_bytes = 0
        self.shut = False

    def write(self, body: bytes) -> Rest:
        """Write `body`, starting the response if need be; nothing once it is shut.

        A write that need not wait is done when this returns None: most are, and
        then cost no coroutine. What is returned else must be awaited; it outlasts cancellations.
        """
        if self._aside is not None or self.started_at is None or len(body) > PIECE_BYTES or self._takes_any_amount:
            return self._write_in_turn(body)
        return self._give({"type": "http.response.body", "body": body, "more_body": True})

    def open_with(self, start: Message, preamble: bytes) -> None:
        """Replace the headers, and what stands before the first item, unless they have left."""
        if self.started_at is None:
            self._start, self._preamble = start, preamble

    def use(self, send: Send, connection: Connection) -> None:
        """Write the rest of the body by another way to the same client: a `send` that waits while there is no room."""
        self._send, self._connection = send, connection
        self._takes_any_amount = False

    def adopt(self, step: Coroutine[Trap, Any, None], trap: Trap) -> Awaitable[None]:
        """Return the rest of a `send` that somebody else began, and has counted; it is to be awaited."""
        return self._give_slowly({}, step.__await__(), trap)

    @types.coroutine
    def start(self) -> Generator[Trap, None, None]:
        """Send the headers, and what stands before the first item."""
        if self.shut or self._start is None:
            return
        self.started_at = self._loop.time()
        start, self._start = self._start, None  # many idle streams need not each keep their headers
        yield from self._transmit(start)
        if self._preamble:
            yield from self._write_pieces(self._preamble)

    @types.coroutine
    def end(self) -> Generator[Trap, None, None]:
        """End the body cleanly."""
        yield from self._write_in_turn(b"")
        yield from self._transmit({"type": "http.response.body", "body": b"", "more_body": False})

    def write_aside(self, body: bytes) -> bool:
        """Write `body` from a task of its own, and say whether it will: not while something else is being written."""
        if self._aside is not None or self.waits_since is not None or self.shut:
            return False
        task = self._loop.create_task(self._write_aside(body))
        self._aside = None if task.done() else task  # an eager one may have come to its end in that line
        return True

    def close(self) -> None:
        """Write nothing any more, and give up what is being written."""
        self.shut = True
        if self._trap is not None:
            self._trap.cancel()
        if self._waiter is not None:
            self._waiter.wake()  # not every server's futures tell of their cancellation

    def next_look(self, limit: float) -> float:
        """Return when a write that waits is to be looked at, for `is_stuck` with the same limit."""
        assert self.waits_since is not None
        return self.waits_since + limit * (0.5 if self._acknowledged is None else 1.0)

    def is_stuck(self, now: float, limit: float | None) -> bool:
        """Whether a write has waited longer than `limit` for a client that takes nothing.

        A slow one takes little, and a server may accept the next write only when much of what it holds has left: so
        what counts is whether its kernel has acknowledged anything in the second half of the time.
        """
        since = self.waits_since
        if since is None or limit is None or now < since + limit / 2:
            return False
        before, self._acknowledged = self._acknowledged, self._connection.acknowledged_bytes()
        if before is None or now < since + limit:
            return False
        if self._acknowledged > before:
            self.waits_since = now - limit / 2
            return False
        return True

    def retire(self) -> None:
        """Forget the server and the stream: they refer to this, and would all wait for the garbage collector."""
        self.close()
        self._watch = _Nobody()
        self._send = _send_nowhere

    async def _write_aside(self, body: bytes) -> None:
        try:
            await self._write_pieces(body)
        finally:
            self._aside = None

    @types.coroutine
    def _write_in_turn(self, body: bytes) -> Generator[Trap, None, None]:
        if self._aside is not None:
            yield from outlast(self._aside)
        yield from self._write_pieces(body)

    @types.coroutine
    def _write_pieces(self, body: bytes) -> Generator[Trap, None, None]:
        if self.started_at is None:
            yield from self.start()
        for at in range(0, len(body), PIECE_BYTES):
            piece = body[at : at + PIECE_BYTES]
            yield from self._transmit({"type": "http.response.body", "body": piece, "more_body": True})
            if self._takes_any_amount:
                yield from self._wait_for_backlog()

    @types.coroutine
    def _transmit(self, message: Message) -> Generator[Trap, None, None]:
        rest = self._give(message)
        if rest is not None:
            yield from rest  # type: ignore[misc] # a types.coroutine is both

    def _give(self, message: Message) -> Rest:
        """Step the server's `send` once; on most servers that is all of it while there is room in their buffer."""
        if self.shut:
            return None
        if self._connection.is_closed():
            self._watch.connection_lost()
            return None
        try:
            step = self._send(message).__await__()
            trap = next(step)
        except StopIteration:
            self._took(message)
            return None
        except (Exception, asyncio.CancelledError) as exc:  # noqa: BLE001 - whatever send raises, nothing can be written
            self._watch.write_failed(exc)
            return None
        return self._give_slowly(message, step, trap)

    def _took(self, message: Message) -> None:
        now = self._loop.time()
        if now - self.last_write > self.longest_silence:
            self.longest_silence = now - self.last_write
        self.last_write = now
        self.sent_bytes += len(message.get("body", b""))

    @types.coroutine
    def _give_slowly(self, message: Message, step: Iterator[Trap], trap: Trap) -> Generator[Trap, None, None]:
        """Wait until the server has taken the message."""
        self._begin_to_wait()
        try:
            while not self.shut:
                self._trap, self._waiter = trap, Waiter()
                yield from outlast(trap, self._waiter)
                trap = next(step)
            _give_up(step)
        except StopIteration:
            self._took(message)
        except (Exception, asyncio.CancelledError) as exc:  # noqa: BLE001 - as above
            if not self.shut:
                self._watch.write_failed(exc)
        finally:
            self._trap = self._waiter = self.waits_since = None

    def _begin_to_wait(self) -> None:
        self.waits_since, self._acknowledged = self._loop.time(), None
        self._watch.write_waits()

    @types.coroutine
    def _wait_for_backlog(self) -> Generator[Trap, None, None]:
        """Make up for a server without backpressure: wait until it has passed on most of what it was given."""
        if self._connection.backlog_bytes() <= BACKLOG_BYTES:
            return
        self._begin_to_wait()
        while not self.shut and self._connection.backlog_bytes() > BACKLOG_BYTES // 2:
            yield from outlast(asyncio.ensure_future(asyncio.sleep(BACKLOG_INTERVAL)))
        self.waits_since = None


def _give_up(step: Iterator[Trap]) -> None:
    """Cancel a send that nobody waits for any more; one that goes on all the same is closed."""
    with contextlib.suppress(AttributeError, StopIteration, asyncio.CancelledError):
        step.throw(asyncio.CancelledError())  # type: ignore[attr-defined]
        step.close()  # type: ignore[attr-defined]


class _Nobody:
    """Watches an outlet that is out of use."""

    def write_waits(self) -> None: ...

    def write_failed(self, error: BaseException) -> None: ...

    def connection_lost(self) -> None: ...


async def _send_nowhere(message: Message) -> None: ...
