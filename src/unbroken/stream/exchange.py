"""The life of one streamed response: its deadlines, and its one end.

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

import anyio

from unbroken.errors import ClientDisconnected, CloseReason, ServerClosing, StreamClosed
from unbroken.observe import Cleanup, logger
from unbroken.servers import Connection
from unbroken.stream.options import StreamOptions
from unbroken.stream.outlet import Message, Outlet, Rest, Send
from unbroken.stream.producer import Producer
from unbroken.stream.stepping import Trap
from unbroken.stream.wheel import current_wheel
from unbroken.wire import encode_control

__all__ = ["Exchange", "Receive"]

Receive = Callable[[], Awaitable[Message]]

GONE = frozenset({CloseReason.CLIENT_CLOSED, CloseReason.WRITE_FAILED, CloseReason.SEND_TIMEOUT})
"""The reasons after which nothing can be written."""

LEAVINGS = (OSError, anyio.BrokenResourceError, anyio.ClosedResourceError)
"""What servers and `BaseHTTPMiddleware` raise when a client has left."""

KILL_INTERVAL = 0.5
"""Seconds between two attempts to end a producer that is out of time."""
KILL_ATTEMPTS = 3

FINISHING_GRACE = 1.0
"""Seconds that the last write may take after the client was said to have left."""

LIVENESS_INTERVAL = 15.0
"""Seconds between two looks at the socket underneath, where there is no heartbeat to tie them to."""


class Exchange:
    """One response to one request. To be used on its event loop only."""

    __slots__ = (
        "_checked", "_connection", "_finishing", "_kill_at", "_kills", "_listening", "_max_age",
        "_opened", "_options", "_outlet", "_outside", "_producer", "between", "cleanup", "discarded", "ended", "error",
        "events", "gone", "heartbeats", "last_silence", "reason", "slot",
    )  # fmt: skip

    def __init__(self, start: Message, send: Send, connection: Connection, options: StreamOptions) -> None:
        loop = asyncio.get_running_loop()
        self._options = options
        self._connection = connection
        self._outlet = Outlet(send, start, options.preamble, connection, self)
        self._opened = self._checked = loop.time()
        self.ended: asyncio.Future[None] = loop.create_future()
        self._listening: asyncio.Timeout | None = None
        self._kill_at: float | None = None
        self._kills = 0
        self._max_age = options.some_age()
        self._outside = self._finishing = False
        self.slot: int | None = None
        self.reason: CloseReason | None = None
        self.error: BaseException | None = None
        self.cleanup = Cleanup.FINISHED
        self.gone = False
        self.between = True
        """Whether what has been written ends between two events, so that a comment may follow."""
        self.last_silence = 0.0
        self.events = self.discarded = self.heartbeats = 0

    @property
    def sent_bytes(self) -> int:
        """Bytes of the body that the server took."""
        return self._outlet.sent_bytes

    @property
    def started_after(self) -> float | None:
        """Seconds until the headers left, or None."""
        return None if self._outlet.started_at is None else self._outlet.started_at - self._opened

    @property
    def longest_silence(self) -> float:
        """The longest time without a byte so far, in seconds."""
        return max(self._outlet.longest_silence, self.last_silence)

    @property
    def drains(self) -> bool:
        """Whether the stream ends when its server shuts down."""
        return self._options.drain_grace is not None

    @property
    def opened(self) -> float:
        """The stream's first moment, by the loop's clock."""
        return self._opened

    @property
    def last_write(self) -> float:
        """The moment of the last byte, by the loop's clock; the first moment, if there was none."""
        return self._outlet.last_write

    # The server's task: listen, and wait for the end.

    async def run(self, producer: Producer, receive: Receive) -> None:
        """Stream until one side ends it, and wait for the producer's cleanup. Afterwards `reason` is set.

        Raises:
            asyncio.CancelledError: when something around the response cancelled it.
        """
        self.begin(producer)
        cancelled = await self._listen(receive)
        if cancelled is not None:
            self.cancel_from_outside()
        self.close(CloseReason.CLIENT_CLOSED)
        await self.finish(cancelled)

    async def _listen(self, receive: Receive) -> asyncio.CancelledError | None:
        """Wait until the client leaves or the stream ends; return the cancellation, if somebody cancelled us."""
        cancelled = None
        try:
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
        return cancelled

    def begin(self, producer: Producer) -> None:
        """Have `producer` produce, and the deadlines kept. `finish` must follow."""
        self._producer: Producer | None = producer
        pump = asyncio.get_running_loop().create_task(self._pump(producer), name="unbroken pump")
        pump.add_done_callback(self._pump_ended)
        current_wheel().file(self, self._next_look())

    async def finish(self, cancelled: asyncio.CancelledError | None = None) -> None:
        """Wait for the end and the cleanup. Afterwards `reason` is set.

        Raises:
            asyncio.CancelledError: `cancelled`; or what reached us meanwhile.
        """
        try:
            cancelled = await self._settle() or cancelled
        finally:
            current_wheel().discard(self)
            self._outlet.retire()
            self._producer = None
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
                            self._hurry()
                        cancelled = exc
        return cancelled

    def cancel_from_outside(self) -> None:
        """The server, or a scope around the response, cancelled us. For the producer it stays a cancellation."""
        if self.reason is None:
            self._outside = True
            self.close(CloseReason.SHUTDOWN)
            self._lose()

    # The pump's task: produce, and end the body.

    async def _pump(self, producer: Producer) -> None:
        try:
            if self._options.start_grace <= 0:
                await self._outlet.start()
            await producer.run()
        except asyncio.CancelledError as exc:
            self._was_cancelled(exc)
        except StreamClosed:
            pass
        except (KeyboardInterrupt, SystemExit, GeneratorExit):
            raise
        except BaseException as exc:  # noqa: BLE001 - kept, and raised to the framework
            self._failed(exc)
        await self._end_body()

    def _was_cancelled(self, exc: asyncio.CancelledError) -> None:
        if self.reason is not None:
            return
        task = asyncio.current_task()
        if task is not None and task.cancelling():
            # Nobody but the closing loop knows this task: end without another write, which could wait for ever.
            self._outside = True
            self.close(CloseReason.SHUTDOWN)
            self._lose()
        else:
            error = RuntimeError("the stream's generator ended with a CancelledError although nobody had cancelled it")
            error.__cause__ = exc
            self._failed(error)

    def _failed(self, exc: BaseException) -> None:
        if isinstance(exc, BaseExceptionGroup) and exc.split((StreamClosed, asyncio.CancelledError))[1] is None:
            return
        self.error = exc
        if self.reason is None:
            self._end_for(CloseReason.PRODUCER_ERROR)
        else:
            self.cleanup = Cleanup.FAILED

    @types.coroutine
    def _end_body(self) -> Generator[Trap, None, None]:
        self._finishing = True
        if self.gone:
            return
        if self.reason is CloseReason.PRODUCER_ERROR:
            if self._outlet.started_at is None:
                self._outlet.close()  # a start that is on its way aside would hide the error's own response
            elif self.between:
                yield from self._write(encode_control("stream-error", {"reason": self.reason}))
            return
        # Half an event is dropped by its reader at the body's end; a blank line after it would dispatch it.
        if self.reason is not None and self.between:
            yield from self._write(self._options.last_words(self.reason))
        yield from self._outlet.end()
        if self.reason is None:
            self._end_for(CloseReason.COMPLETED)

    @types.coroutine
    def _write(self, body: bytes) -> Generator[Trap, None, None]:
        rest = self._outlet.write(body)
        if rest is not None:
            yield from rest  # type: ignore[misc] # a types.coroutine is both

    def _pump_ended(self, pump: asyncio.Task[None]) -> None:
        if not pump.cancelled() and (exc := pump.exception()) is not None:
            self.error = self.error or exc
        if self.reason is None:
            # Cancelled before its first step, by the closing loop; or ended by what is no Exception.
            self._end_for(CloseReason.SHUTDOWN if pump.cancelled() else CloseReason.PRODUCER_ERROR)
        if not self.ended.done():
            self._end()

    def _end(self) -> None:
        self.ended.set_result(None)
        if self._listening is not None:
            self._listening.reschedule(asyncio.get_running_loop().time())

    # What the producer sees of us.

    def write_items(self, body: bytes, items: int) -> Rest:
        """Hand `items` encoded items to the server, or count them as discarded when the client is gone."""
        rest = None if self.gone else self._outlet.write(body)
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
        now = asyncio.get_running_loop().time()
        if self._finishing and reason is CloseReason.CLIENT_CLOSED:
            # Where the server tells of the response's end by a disconnect, that may overtake the end itself.
            self._due(now + FINISHING_GRACE)
            return
        if self.reason is None:
            self._end_for(reason)
            self.error = error
            self._due(now + self._grace())
            if self._producer is not None:
                self._producer.interrupt()
        if reason in GONE:
            self._lose()

    def dismiss(self) -> None:
        """End the stream because the server shuts down."""
        self.close(CloseReason.SHUTDOWN)

    def _end_for(self, reason: CloseReason) -> None:
        self.reason = reason
        self.last_silence = asyncio.get_running_loop().time() - self._outlet.last_write

    def _lose(self) -> None:
        self.gone = True
        self._outlet.close()

    def write_failed(self, error: BaseException) -> None:
        """Take what `send` raised, whatever it is, for the loss of the connection (OSError from ASGI 2.4 on)."""
        if not (self._outlet.sent_bytes or isinstance(error, LEAVINGS)) and self._connection.is_alive():
            logger.error("the start of a stream was refused by a middleware or the server", exc_info=error)
        self.close(CloseReason.WRITE_FAILED, error)

    def connection_lost(self) -> None:
        """Take the server's silence for the client's leaving."""
        self.close(CloseReason.CLIENT_CLOSED)
        self._connection.abort()

    def write_waits(self) -> None:
        """See that a write which began to wait is looked after."""
        current_wheel().file(self, self._next_look())

    # Deadlines.

    def on_time(self, now: float) -> float | None:
        """Do what is due; called by the wheel."""
        if self.ended.done():
            return None
        if self._kill_at is not None and now >= self._kill_at:
            self._hurry()
        if self._outlet.is_stuck(now, self._write_limit()):
            self.close(CloseReason.SEND_TIMEOUT)
            self._connection.abort()
        elif self.reason is None:
            self._keep(now)
        return None if self.ended.done() else self._next_look()

    def _keep(self, now: float) -> None:
        """Look after a stream that is open."""
        options = self._options
        if self._is_over(self._opened, self._max_age, now):
            self.close(CloseReason.MAX_AGE)
        elif self._outlet.started_at is None:
            if now >= self._opened + options.start_grace:
                self._outlet.write_aside(b"" if options.preamble else options.opening_frame)
        elif self.between and self._is_over(self._outlet.last_write, options.heartbeat, now):
            self.heartbeats += self._outlet.write_aside(options.heartbeat_now())
        if now >= self._checked + (options.heartbeat or LIVENESS_INTERVAL):
            self._checked = now
            if not self._connection.is_alive():
                self.close(CloseReason.WRITE_FAILED)
                self._connection.abort()

    def _hurry(self) -> None:
        """The cleanup is out of time: end the producer, and if it resists, leave it behind."""
        now = asyncio.get_running_loop().time()
        if self._finishing:
            if self.reason is None:
                self._end_for(CloseReason.CLIENT_CLOSED)
            self._lose()
        elif self._outlet.waits_since is not None and not self.gone:
            # The client takes nothing, so there is no farewell, and the producer has not even been told.
            self._lose()
            self._connection.abort()
            if self.reason is not CloseReason.SHUTDOWN:  # then the server has waited long enough
                self._due(now + self._options.cleanup_timeout)
                return
        elif self._kills < KILL_ATTEMPTS and self._producer is not None:
            self._kills += 1
            self.cleanup = Cleanup.CANCELLED
            self._producer.kill()
        else:
            self.cleanup = Cleanup.ABANDONED
            if not self.gone:
                self._lose()
                self._connection.abort()
            self._end()
            return
        self._due(now + KILL_INTERVAL)

    def _due(self, when: float) -> None:
        self._kill_at = when
        current_wheel().file(self, when)

    def _grace(self) -> float:
        """Return the seconds that the producer has for its cleanup and farewell."""
        drain_grace = self._options.drain_grace
        draining = self.reason is CloseReason.SHUTDOWN and drain_grace is not None
        return drain_grace if draining and drain_grace is not None else self._options.cleanup_timeout

    def _write_limit(self) -> float | None:
        """Return the seconds that one write may wait. In a drain half the grace: the rest is for the cleanup."""
        limit = self._options.send_timeout
        if self.reason is not CloseReason.SHUTDOWN:
            return limit
        half = self._grace() / 2
        return half if limit is None else min(limit, half)

    def _next_look(self) -> float:
        options, outlet = self._options, self._outlet
        looks = (
            [self._kill_at] if self._kill_at is not None else [self._checked + (options.heartbeat or LIVENESS_INTERVAL)]
        )
        if self.reason is None and self._max_age is not None:
            looks.append(self._opened + self._max_age)
        if outlet.waits_since is not None:
            if (limit := self._write_limit()) is not None:
                looks.append(outlet.next_look(limit))
        elif outlet.started_at is None:
            looks.append(self._opened + options.start_grace)
        elif options.heartbeat is not None:
            # Inside an event no heartbeat may go; the write that ends it counts anew.
            since = outlet.last_write if self.between else asyncio.get_running_loop().time()
            looks.append(since + options.heartbeat)
        return min(looks)

    @staticmethod
    def _is_over(since: float | None, limit: float | None, now: float) -> bool:
        return since is not None and limit is not None and now >= since + limit
