"""The life of one streamed response, and its one end.

Two tasks, whatever the stream does. The server's own listens on `receive()`:
on today's servers that is the only place where a client's leaving shows, since
`send()` goes on accepting in silence. The pump drives the producer and writes.
Cancel scopes around the response (anyio's re-deliver their cancellation at every
await) reach the first only, so that the producer's cleanup may await.
"""

from __future__ import annotations

import asyncio
import types
from collections.abc import Awaitable, Callable, Generator
from contextvars import Context

import anyio

from unbroken.errors import ClientDisconnected, CloseReason, ServerClosing, StreamClosed
from unbroken.observe import Cleanup, logger
from unbroken.servers import Connection, is_plain
from unbroken.stream.deadlines import Deadlines
from unbroken.stream.options import StreamOptions
from unbroken.stream.outlet import Message, Outlet, Rest, Send
from unbroken.stream.producer import Producer
from unbroken.stream.stepping import Trap
from unbroken.wire import encode_control

__all__ = ["GONE", "Exchange", "Receive"]

TRUNCATE_PAUSE = 0.1
"""Seconds between the event that tells of an error and the end of the body, which is no proper one."""

Receive = Callable[[], Awaitable[Message]]

GONE = frozenset({CloseReason.CLIENT_CLOSED, CloseReason.WRITE_FAILED, CloseReason.SEND_TIMEOUT})
"""The reasons after which nothing can be written."""

LEAVINGS = (OSError, anyio.BrokenResourceError, anyio.ClosedResourceError)
"""What servers and `BaseHTTPMiddleware` raise when a client has left."""

FINISHING_GRACE = 1.0
"""Seconds that the last write may take after the client was said to have left."""


class Exchange:
    """One response to one request. To be used on its event loop only."""

    __slots__ = (
        "_deadlines", "_listening", "_outside", "_pumping", "beats", "between", "careful", "cleanup", "connection",
        "context", "discarded", "ended", "error", "events", "finishing", "gone", "heartbeats", "last_silence",
        "opened", "options", "outlet", "producer", "reason",
    )  # fmt: skip

    def __init__(self, start: Message, send: Send, connection: Connection, options: StreamOptions) -> None:
        loop = asyncio.get_running_loop()
        self.options = options
        self.connection = connection
        self.outlet = Outlet(send, start, options.preamble, connection, self)
        self.opened = loop.time()
        self.ended: asyncio.Future[None] = loop.create_future()
        self._listening: asyncio.Timeout | None = None
        self.producer: Producer | None = None
        self.context: Context | None = None
        """What the producer runs in, where it is started by somebody else's task; None for the starter's."""
        self._pumping: asyncio.Task[None] | None = None
        self._deadlines: Deadlines | None = Deadlines(self)
        self._outside = self.finishing = False
        self.reason: CloseReason | None = None
        self.error: BaseException | None = None
        self.cleanup = Cleanup.FINISHED
        self.gone = False
        self.careful = not is_plain(send)
        self.between = True
        """Whether what has been written ends between two events, so that a comment may follow."""
        self.beats = True
        """Whether its own deadlines look after its heartbeats and its socket; a feed does that for all its members."""
        self.last_silence = 0.0
        self.events = self.discarded = self.heartbeats = 0

    @property
    def sent_bytes(self) -> int:
        """Bytes of the body that the server took."""
        return self.outlet.sent_bytes

    @property
    def started_after(self) -> float | None:
        """Seconds until the headers left, or None."""
        return None if self.outlet.started_at is None else self.outlet.started_at - self.opened

    @property
    def longest_silence(self) -> float:
        """The longest time without a byte so far, in seconds."""
        return max(self.outlet.longest_silence, self.last_silence)

    @property
    def drains(self) -> bool:
        """Whether the stream ends when its server shuts down."""
        return self.options.drain_grace is not None

    @property
    def last_write(self) -> float:
        """The moment of the last byte, by the loop's clock; the first moment, if there was none."""
        return self.outlet.last_write

    @property
    def deadlines(self) -> Deadlines:
        """What is due, and when; until `finish`."""
        assert self._deadlines is not None
        return self._deadlines

    def _stop_deadlines(self) -> None:
        if self._deadlines is not None:
            self._deadlines.stop()
            self._deadlines = None  # it refers to us: both would wait for the garbage collector

    # The server's task: listen, and wait for the end.

    async def run(self, producer: Producer, receive: Receive) -> None:
        """Stream until one side ends it, and wait for the producer's cleanup. Afterwards `reason` is set.

        Raises:
            asyncio.CancelledError: when something around the response cancelled it.
        """
        self.begin(producer)
        cancelled: asyncio.CancelledError | None = None
        try:  # here and not in a coroutine of its own, which every idle stream would hold
            async with asyncio.timeout(None) as self._listening:
                # Always on `receive()`, whatever `spec_version` the server declares: from 2.4 on Starlette would
                # wait for a failing send instead, and an idle stream never sends.
                while not self.ended.done() and (await receive())["type"] != "http.disconnect":  # noqa: ASYNC110
                    await asyncio.sleep(0)  # rest of the request's body, from a receive that need not wait
        except asyncio.CancelledError as exc:
            cancelled = exc  # anyio knows its own by what is in it: the same is raised again
        except Exception as exc:  # noqa: BLE001 - a receive that fails has no client behind it any more
            if not self.ended.done():
                logger.debug("receive() failed, taken as the client's leaving: %r", exc)
        self._listening = None
        if cancelled is not None:
            self.cancel_from_outside()
        elif self.goes_on():
            return
        self.close(CloseReason.CLIENT_CLOSED)
        try:
            await self.finish(cancelled)
        finally:
            del cancelled  # its traceback holds this frame: both would wait for the garbage collector

    def begin(self, producer: Producer) -> None:
        """Have `producer` produce, and the deadlines kept. `finish` must follow."""
        self.producer = producer
        self.start_pump()
        self.deadlines.look_again()

    def start_pump(self) -> None:
        """Run the producer in a task of its own."""
        assert self.producer is not None
        loop = asyncio.get_running_loop()
        pump = loop.create_task(self._pump(self.producer), name="unbroken pump", context=self.context)
        self._pumping = pump
        pump.add_done_callback(self._pump_ended)

    def rests(self) -> bool:
        """Whether the producer has stopped running and the stream has not ended: somebody else writes meanwhile."""
        return False

    def goes_on(self) -> bool:
        """Whether the stream lives on when the server's task ends."""
        return False

    async def finish(self, cancelled: asyncio.CancelledError | None = None) -> None:
        """Wait for the end and the cleanup. Afterwards `reason` is set.

        Raises:
            asyncio.CancelledError: `cancelled`; or what reached us meanwhile.
        """
        try:
            cancelled = await self._settle() or cancelled
        finally:
            self._stop_deadlines()
            self.outlet.retire()
            self.producer = None
        if cancelled is not None:
            try:
                raise cancelled
            finally:
                del cancelled
        if self.reason is CloseReason.SEND_TIMEOUT:
            await asyncio.sleep(0)  # an aborted transport reports its end at the loop's next turn

    async def _settle(self) -> asyncio.CancelledError | None:
        """Wait for the pump's end, or for its being given up: both have deadlines of their own.

        Returns the cancellation, if somebody cancelled us meanwhile. The first time it
        changes nothing, since all is ending; whoever insists does not wait for the cleanup.
        """
        cancelled = None
        if not self.ended.done():
            with anyio.CancelScope(shield=True):
                while not self.ended.done():
                    try:
                        await asyncio.wait((self.ended,))
                    except asyncio.CancelledError as exc:
                        if cancelled is not None:
                            self.deadlines.hurry()
                        cancelled = exc
        return cancelled

    def cancel_from_outside(self) -> None:
        """The server, or a scope around the response, cancelled us. For the producer it stays a cancellation."""
        if self.reason is None:
            self._outside = True
            self.close(CloseReason.SHUTDOWN)
            self.lose()

    # The pump's task: produce, and end the body.

    async def _pump(self, producer: Producer) -> None:
        try:
            if self.options.start_grace <= 0:
                await self.outlet.start()
            await producer.run()
        except asyncio.CancelledError as exc:
            self._was_cancelled(exc)
        except StreamClosed:
            pass
        except (KeyboardInterrupt, SystemExit, GeneratorExit):
            raise
        except BaseException as exc:  # noqa: BLE001 - kept, and raised to the framework
            self._failed(exc)
        if not self.rests():
            await self._end_body()

    def _was_cancelled(self, exc: asyncio.CancelledError) -> None:
        if self.reason is not None:
            return
        task = asyncio.current_task()
        if task is not None and task.cancelling():
            # Nobody but the closing loop knows this task: end without another write, which could wait for ever.
            self._outside = True
            self.close(CloseReason.SHUTDOWN)
            self.lose()
        else:
            error = RuntimeError("the stream's generator ended with a CancelledError although nobody had cancelled it")
            error.__cause__ = exc
            self._failed(error)

    def _failed(self, exc: BaseException) -> None:
        if isinstance(exc, BaseExceptionGroup) and exc.split((StreamClosed, asyncio.CancelledError))[1] is None:
            return
        self.error = exc
        if self.reason is None:
            self.end_for(CloseReason.PRODUCER_ERROR)
        else:
            self.cleanup = Cleanup.FAILED

    @types.coroutine
    def _end_body(self) -> Generator[Trap, None, None]:
        self.finishing = True
        if self.gone:
            return
        if self.reason is CloseReason.PRODUCER_ERROR:
            if self.outlet.started_at is None:
                self.outlet.close()  # a start that is on its way aside would hide the error's own response
            elif self.between:
                yield from self._write(encode_control("stream-error", {"reason": self.reason}))
            return
        # Half an event is dropped by its reader at the body's end; a blank line after it would dispatch it.
        if self.reason is not None and self.between:
            yield from self._write(self.options.last_words(self.reason))
        yield from self.outlet.end()
        if self.reason is None:
            self.end_for(CloseReason.COMPLETED)

    @types.coroutine
    def _write(self, body: bytes) -> Generator[Trap, None, None]:
        rest = self.outlet.write(body)
        if rest is not None:
            yield from rest  # type: ignore[misc] # a types.coroutine is both

    def _pump_ended(self, pump: asyncio.Task[None]) -> None:
        if pump is not self._pumping:
            return  # this callback comes a turn late: by then another pump may be at work
        self._pumping = None
        if self.rests():
            return
        if not pump.cancelled() and (exc := pump.exception()) is not None:
            self.error = self.error or exc
        if self.reason is None:
            # Cancelled before its first step, by the closing loop; or ended by what is no Exception.
            self.end_for(CloseReason.SHUTDOWN if pump.cancelled() else CloseReason.PRODUCER_ERROR)
        if not self.ended.done():
            self.end()

    async def break_off(self) -> None:
        """End the body visibly incomplete, after an error.

        A moment later: a browser drops what its page has not read yet when a body breaks off, and that is the event
        which says why.
        """
        try:
            await asyncio.sleep(TRUNCATE_PAUSE)
        finally:
            self.connection.truncate()

    def end(self) -> None:
        """Note that all is over: the body, and the producer, or that it is left behind."""
        self.ended.set_result(None)
        if self._listening is not None:
            self._listening.reschedule(asyncio.get_running_loop().time())

    # What the producer sees of us.

    def write_items(self, body: bytes, items: int) -> Rest:
        """Hand `items` encoded items to the server, or count them as discarded when the client is gone."""
        rest = None if self.gone else self.outlet.write(body)
        if rest is not None:
            return self._write_rest(rest, items)
        self._count(items)
        return None

    @types.coroutine
    def _write_rest(self, rest: Awaitable[None], items: int) -> Generator[Trap, None, None]:
        yield from rest  # type: ignore[misc] # a types.coroutine is both
        self._count(items)

    def _count(self, items: int) -> None:
        if self.gone:
            self.discarded += items
        else:
            self.events += items

    def closing(self) -> StreamClosed | asyncio.CancelledError | None:
        """Make the exception that tells the producer of the stream's end, or None while it is open."""
        if self.reason is None:
            return None
        if self._outside:
            return asyncio.CancelledError()
        return ClientDisconnected(self.reason) if self.reason in GONE else ServerClosing(self.reason)

    # The end, from whichever side.

    def close(self, reason: CloseReason, error: BaseException | None = None) -> None:
        """End the stream for `reason`, unless it has ended: the first reason stays."""
        if self.ended.done():
            return
        if self.finishing and reason is CloseReason.CLIENT_CLOSED:
            # Where the server tells of the response's end by a disconnect, that may overtake the end itself.
            self.deadlines.due_in(FINISHING_GRACE)
            return
        if self.reason is None:
            self.end_for(reason)
            self.error = error
            self.deadlines.due_in(self.deadlines.grace())
            if self.producer is not None:
                self.producer.interrupt()
        if reason in GONE:
            self.lose()

    def dismiss(self) -> None:
        """End the stream because the server shuts down."""
        self.close(CloseReason.SHUTDOWN)

    def end_for(self, reason: CloseReason) -> None:
        """Note why the stream ends, and since when it has been silent."""
        self.reason = reason
        self.last_silence = asyncio.get_running_loop().time() - self.last_write

    def lose(self) -> None:
        """Note that nothing can be written any more."""
        self.gone = True
        self.outlet.close()

    def write_failed(self, error: BaseException) -> None:
        """Take what `send` raised, whatever it is, for the loss of the connection (OSError from ASGI 2.4 on)."""
        if not (self.outlet.sent_bytes or isinstance(error, LEAVINGS)) and self.connection.is_alive():
            logger.error("the start of a stream was refused by a middleware or the server", exc_info=error)
        self.close(CloseReason.WRITE_FAILED, error)

    def connection_lost(self) -> None:
        """Take the server's silence for the client's leaving."""
        self.close(CloseReason.CLIENT_CLOSED)
        self.connection.abort()

    def heartbeat_now(self) -> bytes:
        """Return what its own deadlines send after a silence."""
        return self.options.heartbeat_now()

    def write_waits(self) -> None:
        """See that a write which began to wait is looked after."""
        self.deadlines.look_again()
