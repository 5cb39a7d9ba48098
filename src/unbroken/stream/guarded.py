"""One stream of another library, from its first message to its end."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial
from typing import Any

import anyio
from starlette.requests import ClientDisconnect

from unbroken.errors import CloseReason, ServerClosing, StreamClosed
from unbroken.stream.exchange import Exchange
from unbroken.stream.inbox import Inbox
from unbroken.stream.outlet import Message, Rest
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

    __slots__ = (
        "_boundaries", "_cancellations", "_cancelling", "_complete", "_error", "_heard_until", "_inbox", "_loop",
        "_task", "_timer", "_told", "_turn", "_turn_began", "_turns", "_writing", "exchange",
    )  # fmt: skip

    def __init__(self, exchange: Exchange, inbox: Inbox, task: asyncio.Task[Any], *, encoded: bool) -> None:
        self._loop = asyncio.get_running_loop()
        self.exchange = exchange
        self._inbox = inbox
        self._task: asyncio.Task[Any] | None = task
        self._cancelling = task.cancelling()
        self._cancellations = 0
        self._complete: asyncio.Future[None] = self._loop.create_future()
        self._error: BaseException | None = None
        self._boundaries = None if encoded else _boundaries()  # what is compressed cannot be read
        exchange.between = not encoded
        self._writing = asyncio.Lock()  # a fair one: who sends first is written first
        self._told = False
        self._heard_until = 0.0
        self._timer: asyncio.TimerHandle | None = None
        self._turns = current_turns()
        self._turn, self._turn_began = -1, 0.0

    async def begin(self) -> None:
        """Have the exchange begin. Until it runs us nothing else is written: it may be starting the response itself."""
        await self._writing.acquire()
        self.exchange.begin(self)

    # For the application.

    async def send(self, message: Message) -> None:
        """Pass a piece of the body on.

        Raises:
            StreamClosed: the stream has ended. `ClientDisconnected` every time, to an application that listens
                to `receive` after a second only; `ServerClosing` once, unless `receive` has told of it: what is sent
                then, within the grace, is a farewell.
            RuntimeError: the application has sent the end of the body before.
        """
        more = message.get("more_body", False)
        if more:
            await self._tell()
        body = message.get("body", b"")
        await self._write(body if type(body) is bytes else bytes(body))
        if not more:
            self.end(None)
            await asyncio.wait((self.exchange.ended,))
        elif self.exchange.gone:
            await self._tell()
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
        if error is not None and not (self.exchange.reason is not None and is_leaving(error)):
            self._error = error  # not in the future, which would keep it, and its frames us
        self._complete.set_result(None)

    def take_back(self) -> bool:
        """Take our cancellations of an application that has ended back, and say whether somebody else cancelled it."""
        task, self._task = self._task, None  # it will hold what the application raised, and by that us
        assert task is not None
        for _ in range(self._cancellations):
            task.uncancel()
        return task.cancelling() > self._cancelling

    async def _tell(self) -> None:
        closing = self.exchange.closing()
        if closing is None or self.exchange.reason is CloseReason.COMPLETED:
            return
        if self._told or self._is_being_told():
            # Whoever goes on, whatever it is told, must not starve the loop on which it is to be cancelled.
            await asyncio.sleep(0)
        if self._must_raise():
            self._told = True
            try:
                raise closing if isinstance(closing, StreamClosed) else ServerClosing(CloseReason.SHUTDOWN)
            finally:
                del closing  # it refers to this frame

    def _must_raise(self) -> bool:
        if self.exchange.gone or self.exchange.ended.done():
            return not self._is_being_told()
        return not (self._told or self._inbox.told)

    def _is_being_told(self) -> bool:
        """Whether `receive` tells the application. It ends by that, as on servers that take in silence what comes late.

        An exception on top would be taken for a failure of the stream: the MCP SDK logs it, and closes what its tools
        wait for before it cancels them.
        """
        return self._loop.time() < self._heard_until

    async def _write(self, body: bytes) -> None:
        await self._writing.acquire()
        if self._complete.done():
            self._writing.release()
            await self._tell()
            raise RuntimeError("a piece of the body was sent after its end")
        try:
            if self.exchange.careful:
                await _outlast(partial(self._pass_on, body))
            elif (rest := self._pass_on(body)) is not None:
                await _outlast(lambda: rest)
        finally:
            self._written()

    def _pass_on(self, body: bytes) -> Rest:
        if self._boundaries is None:
            return self.exchange.write_items(body, 0)
        before = self._boundaries.events
        body = self._boundaries.feed(body)
        self.exchange.between = False  # or a heartbeat that is just due might come before what is still to be written
        return self.exchange.write_items(body, self._boundaries.events - before)

    def _written(self) -> None:
        if self._boundaries is not None:
            self.exchange.between = self._boundaries.between
        self._writing.release()

    def _is_long_turn(self) -> bool:
        """Whether the loop waits for a turn: an application that never awaits would starve it, and never be told."""
        turn, now = self._turns.number(), self._loop.time()
        if turn != self._turn:
            self._turn, self._turn_began = turn, now
        return now - self._turn_began > TURN_SECONDS

    # For the exchange.

    async def run(self) -> None:
        """Wait for the end of the body, or of the application."""
        self._writing.release()
        await self._complete
        async with self._writing:  # of a sender that was cancelled, or is not the application's own task
            error, self._error = self._error, None
        if error is not None:
            raise error

    def interrupt(self) -> None:
        """Tell the application that its stream ends."""
        if self._inbox.is_heard:
            self._heard_until = self._loop.time() + TELL_GRACE
        self._inbox.close()
        self._timer = self._loop.call_later(TELL_GRACE, self._cancel_untold)

    def kill(self) -> None:
        """Cancel the application."""
        if self._task is not None and not self._complete.done():
            self._cancellations += 1
            self._task.cancel()

    def release(self) -> None:
        """Let go of what an ended stream needs no more."""
        self._inbox.close()
        if self._timer is not None:
            self._timer.cancel()

    def _cancel_untold(self) -> None:
        if not (self._told or self._inbox.told):
            self.kill()


def is_leaving(error: BaseException | None) -> bool:
    """Whether `error` says no more than that the stream has ended."""
    if isinstance(error, BaseExceptionGroup):
        return error.split(LEAVINGS)[1] is None
    return isinstance(error, LEAVINGS)


def _boundaries() -> EventBoundaries:
    boundaries = EventBoundaries()
    boundaries.precede()  # a heartbeat, or the `retry` of ours, may; so none of its byte order mark is passed on
    return boundaries


async def _outlast(write: Callable[[], Rest]) -> None:
    """Write to the end, through any cancellation: a message that is torn would corrupt the stream.

    In the task that sends, all of it: a middleware around us may have opened a scope, or set a context variable, for
    the time of its `send`. What is outlasted has its end, by the client's taking something, `send_timeout`, or the end
    of the stream; the cancellation comes then.
    """
    task = asyncio.current_task()
    assert task is not None
    before = task.cancelling()
    # Shielded, since anyio delivers a cancellation again at every turn of the loop.
    with anyio.CancelScope(shield=True):
        rest = write()
        if rest is not None:
            await rest
    if task.cancelling() > before:
        raise asyncio.CancelledError
