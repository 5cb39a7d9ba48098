"""One stream of another library, from its first message to its end."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from typing import Any

import anyio
from starlette.requests import ClientDisconnect

from unbroken.errors import CloseReason, ServerClosing, StreamClosed
from unbroken.stream.exchange import Exchange
from unbroken.stream.inbox import Inbox
from unbroken.stream.outlet import Message
from unbroken.stream.turns import current_turns
from unbroken.wire.boundaries import EventBoundaries

__all__ = ["GuardedStream", "is_leaving"]

TELL_GRACE = 1.0
"""Seconds that an application has to hear of its stream's end, by `send` or `receive`; then it is cancelled."""

TURN_SECONDS = 0.001
"""How long an application may send without the event loop's getting a turn."""

LEAVINGS = (
    ConnectionResetError, ConnectionAbortedError, BrokenPipeError, ClientDisconnect,
    anyio.BrokenResourceError, anyio.ClosedResourceError, anyio.EndOfStream, asyncio.CancelledError,
)  # fmt: skip
"""What frameworks and libraries raise because a client has left; `StreamClosed` is one of the first."""


class GuardedStream:
    """An application that sends an event stream, as the producer of an exchange: it is not driven, it drives itself.

    Its task is the server's. It is told of the end by an `http.disconnect`, if it listens,
    by an exception of `send`, if it goes on sending, and by one cancellation, if it does neither.
    """

    def __init__(
        self, exchange: Exchange, inbox: Inbox, task: asyncio.Task[Any], *, encoded: bool, preceded: bool
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self.exchange = exchange
        self._inbox = inbox
        self._task = task
        self._complete: asyncio.Future[None] = self._loop.create_future()
        self._boundaries = None if encoded else EventBoundaries()  # what is compressed cannot be read
        self._preceded = preceded  # something of ours comes before the application's first byte
        self._writing: asyncio.Task[None] | None = None
        self._told = False
        self._timer: asyncio.TimerHandle | None = None
        self._turns = current_turns()
        self._turn, self._turn_began = -1, 0.0
        self.cancellations = 0
        """How often the application's task was cancelled from here."""

    # For the application.

    async def send(self, message: Message) -> None:
        """Pass a piece of the body on.

        Raises:
            StreamClosed: the stream has ended. `ClientDisconnected` every time; `ServerClosing` once, unless
                `receive` has told of it: what is sent then, within the grace, is a farewell.
        """
        more = message.get("more_body", False)
        if more:
            self._tell()
        body = message.get("body", b"")
        await self._write(body if type(body) is bytes else bytes(body))
        if not more:
            self.end(None)
            await asyncio.wait((self.exchange.ended,))
        elif self._is_long_turn():
            await asyncio.sleep(0)

    @property
    def is_complete(self) -> bool:
        """Whether the application has sent the end of the body."""
        return self._complete.done()

    def end(self, error: BaseException | None) -> None:
        """Note that the body is complete, or that the application has ended; with `error`, if it raised that."""
        if self._complete.done():
            return
        if error is None or (self.exchange.reason is not None and is_leaving(error)):
            self._complete.set_result(None)
        else:
            self._complete.set_exception(error)

    def _tell(self) -> None:
        closing = self.exchange.closing()
        if closing is None:
            return
        if not isinstance(closing, StreamClosed):
            closing = ServerClosing(CloseReason.SHUTDOWN)
        told = self._told or self._inbox.told
        if self.exchange.gone or self.exchange.ended.done() or not told:
            self._told = True
            raise closing

    async def _write(self, body: bytes) -> None:
        while self._writing is not None:
            await asyncio.wait((self._writing,))
        rest = self._pass_on(body)
        if rest is not None:
            # In a task of its own: whoever cancels the application must not tear a message, nor wait for the client.
            self._writing = self._loop.create_task(self._outlast(rest), name="unbroken write")
            await asyncio.wait((self._writing,))

    def _pass_on(self, body: bytes) -> Awaitable[None] | None:
        boundaries, exchange = self._boundaries, self.exchange
        if boundaries is None:
            exchange.between = False
            return exchange.write_items(body, 0)
        if self._preceded or exchange.started_after is not None:
            boundaries.precede()
        before = boundaries.events
        body = boundaries.feed(body)
        exchange.between = boundaries.between
        return exchange.write_items(body, boundaries.events - before)

    async def _outlast(self, rest: Awaitable[None]) -> None:
        try:
            await rest
        finally:
            self._writing = None

    def _is_long_turn(self) -> bool:
        """Whether the loop waits for a turn: an application that never awaits would starve it, and never be told."""
        turn, now = self._turns.number(), self.exchange.last_write
        if turn != self._turn:
            self._turn, self._turn_began = turn, now
        return now - self._turn_began > TURN_SECONDS

    # For the exchange.

    async def run(self) -> None:
        """Wait for the end of the body, or of the application."""
        await self._complete
        if self._writing is not None:
            await asyncio.wait((self._writing,))

    def interrupt(self) -> None:
        """Tell the application that its stream ends."""
        self._inbox.close()
        self._timer = self._loop.call_later(TELL_GRACE, self._cancel_untold)

    def kill(self) -> None:
        """Cancel the application."""
        if not self._complete.done():
            self.cancellations += 1
            self._task.cancel()

    def release(self) -> None:
        """Let go of what an ended stream needs no more."""
        self._inbox.close()
        if self._timer is not None:
            self._timer.cancel()

    def _cancel_untold(self) -> None:
        if not (self._told or self._inbox.told):
            self.kill()


def is_leaving(error: BaseException) -> bool:
    """Whether `error` says no more than that the stream has ended."""
    if isinstance(error, BaseExceptionGroup):
        return error.split(LEAVINGS)[1] is None
    return isinstance(error, LEAVINGS)
