"""`EventStreamGuard`: what `EventSourceResponse` gives, for the event streams of any library."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import anyio

from unbroken.errors import CloseReason, ServerClosing
from unbroken.observe import logger
from unbroken.observe.text import printable
from unbroken.servers import connection_of, detect_dead_peers
from unbroken.stream.drain import Lifespan, current_drain
from unbroken.stream.exchange import Exchange, Receive
from unbroken.stream.guarded import GuardedStream, is_leaving
from unbroken.stream.headers import corrected, is_encoded, is_event_stream, without_encodings
from unbroken.stream.inbox import Inbox
from unbroken.stream.limits import Limits, Place
from unbroken.stream.options import StreamOptions
from unbroken.stream.outlet import PIECE_BYTES, Message, Send
from unbroken.stream.registration import GUARD, OnClose, Policy, Registration, admit, policies_of
from unbroken.stream.revalidation import Revalidate

__all__ = ["EventStreamGuard"]

Application = Callable[[Any, Receive, Send], Awaitable[None]]

BODILESS = frozenset({204, 205, 304})
"""Statuses of responses without a body, whatever their content type: 204 tells a browser not to reconnect."""


class EventStreamGuard:
    """Protect every event stream of an application, whatever library makes it, without a change to its code.

        app.add_middleware(EventStreamGuard)

    A response is recognised by its content type, `text/event-stream`. Other responses pass
    untouched; so do those that protect themselves (`EventSourceResponse`), but for `limits`,
    `revalidate` and `on_close`, which hold for them as well. A stream gets heartbeats between
    its events, deadlines, dead-peer detection, headers against buffering, caching and
    compression, an orderly end at shutdown, and one record.

    When the stream ends first, the application is told: `receive` gives `http.disconnect`;
    `send` raises `ClientDisconnected`, or once `ServerClosing`, after which it still sends
    a farewell; an application that does neither for a second is cancelled. What it raises because its
    client has left goes no further.

    Args:
        app: The ASGI application.
        heartbeat: Seconds of silence after which a comment is sent; None sends none.
        heartbeat_event: Type of an event with empty data to send instead of the comment.
        send_timeout: Seconds that one write may wait for a client which takes nothing; then it is aborted.
        max_age: Seconds after which a stream is ended in good order.
        max_age_jitter: The share of `max_age` by which a stream ends earlier, at random.
        retry: Reconnection time in milliseconds, told to the client first.
        start_grace: Seconds the first bytes of the body may take before the headers leave without
            them. What the application raises within them becomes a real error response.
        cleanup_timeout: Seconds the application has to end, once its stream has; then it is cancelled again.
        dead_peer_timeout: Seconds after which a vanished client is given up (Linux); see `EventSourceResponse`.
        drain_grace: Seconds the application has at shutdown; None leaves its streams out of that.
        drain_retry: Least and most of the random reconnection time in milliseconds told at shutdown.
        limits: Bounds the open streams. Over a limit the answer is 503.
        revalidate: Asked every `revalidate_interval` seconds; False ends the stream with `revoked`.
        revalidate_interval: Seconds between two such questions.
        on_close: Called with each stream's `StreamRecord`.

    Raises:
        ConfigurationError: an argument is out of its range.
    """

    def __init__(
        self,
        app: Application,
        *,
        heartbeat: float | None = 15.0,
        heartbeat_event: str | None = None,
        send_timeout: float | None = 60.0,
        max_age: float | None = None,
        max_age_jitter: float = 0.1,
        retry: int | None = None,
        start_grace: float = 0.5,
        cleanup_timeout: float = 10.0,
        dead_peer_timeout: float | None = 90.0,
        drain_grace: float | None = 2.5,
        drain_retry: tuple[int, int] = (1000, 6000),
        limits: Limits | None = None,
        revalidate: Revalidate | None = None,
        revalidate_interval: float = 60.0,
        on_close: OnClose | None = None,
    ) -> None:
        self.app = app
        self.options = StreamOptions.checked(
            retry=retry,
            heartbeat=heartbeat,
            heartbeat_event=heartbeat_event,
            send_timeout=send_timeout,
            max_age=max_age,
            max_age_jitter=max_age_jitter,
            start_grace=start_grace,
            cleanup_timeout=cleanup_timeout,
            dead_peer_timeout=dead_peer_timeout,
            drain_grace=drain_grace,
            drain_retry=drain_retry,
        )
        self.policies = policies_of(limits, revalidate, revalidate_interval, on_close)

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """Serve a request, and guard what becomes a stream of events."""
        if scope["type"] != "http" or scope["method"] == "HEAD":
            return await self.app(scope, self._lifespan(receive) if scope["type"] == "lifespan" else receive, send)
        given, headers = scope["headers"], without_encodings(scope["headers"])
        if headers is not None:
            scope["headers"] = headers
        gate = _Gate(self, scope, receive, send)
        try:
            await self.app(scope, gate.inbox.receive, gate.send)
        except (GeneratorExit, KeyboardInterrupt, SystemExit) as exc:
            gate.give_up(exc)  # without another await: some servers live on, others do not
            raise
        except BaseException as exc:  # a cancellation, or a group with one, too
            if await gate.leave(exc):
                raise
        else:
            if gate.has_begun:
                await gate.leave(None)
        finally:
            gate.retire()
            if headers is not None:
                scope["headers"] = given

    def _lifespan(self, receive: Receive) -> Receive:
        lifespan = Lifespan()

        async def listening() -> Message:
            message = await receive()
            if self.options.drain_grace is not None:
                if message["type"] == "lifespan.startup":
                    current_drain().listen(lifespan)
                elif message["type"] == "lifespan.shutdown":
                    await current_drain().leave(lifespan)
            return message

        return listening


class _Gate:
    """One request at the guard: a stream, from the message on that makes it one."""

    # Defaults of the class, and no slots: most requests are no streams, and need little of it.
    _passes = _refused = False
    _recording: asyncio.Task[None] | None = None
    _stream: GuardedStream | None = None
    _registration: Registration

    def __init__(self, guard: EventStreamGuard, scope: Message, receive: Receive, send: Send) -> None:
        self._guard = guard
        self._scope = scope
        self._send = send
        self._task = asyncio.current_task()
        self._around: _Gate | None = scope.get(GUARD)
        self.inbox = Inbox(receive)
        scope[GUARD] = self

    def retire(self) -> None:
        """Leave the scope: it and the gate would keep each other, and the whole request, for the garbage collector."""
        if self._around is None:
            del self._scope[GUARD]
        else:
            self._scope[GUARD] = self._around
        self._task = None  # as does the task, when it fails

    @property
    def has_begun(self) -> bool:
        """Whether the request has become a stream of this guard's."""
        return self._stream is not None

    @property
    def app(self) -> Application:
        """What is wrapped, for those who look through middlewares."""
        return self._guard.app

    def send(self, message: Message) -> Awaitable[None]:
        """Pass a message on; what the application is given in place of the server's `send`."""
        if self._passes:
            return self._send(message)
        kind = message["type"]
        if self._stream is not None:
            return self._stream.send(message) if kind == "http.response.body" else self._pass_by(message)
        if kind == "http.response.start":
            if not isinstance(message.get("headers", ()), list | tuple):
                message = {**message, "headers": list(message["headers"])}  # ASGI allows what can be read only once
            if is_event_stream(message.get("headers", ())) and message["status"] not in BODILESS:
                return self._open(message)
            self._passes = True
        return self._send(message)

    def stand_aside(self) -> Sequence[Policy]:
        """Guard no stream of this request, which is protected nearer by; return what holds for it nevertheless."""
        self._passes = True
        around = () if self._around is None else self._around.stand_aside()
        return (*self._guard.policies, *around)

    def _pass_by(self, message: Message) -> Awaitable[None]:
        if message["type"] == "http.response.pathsend":
            return self._send_file(message["path"])
        if message["type"] == "http.response.start":  # the first may still wait here, so the server would not notice
            raise RuntimeError("the application started its response twice")
        return self._send(message)

    async def _send_file(self, path: str) -> None:
        """Send a file's content, which the server would take for a response that has not begun."""
        assert self._stream is not None
        async with await anyio.open_file(path, "rb") as file:
            while piece := await file.read(PIECE_BYTES):
                await self._stream.send({"type": "http.response.body", "body": piece, "more_body": True})
        await self._stream.send({"type": "http.response.body", "body": b"", "more_body": False})

    async def _open(self, start: Message) -> None:
        around = () if self._around is None else self._around.stand_aside()
        policies = (*self._guard.policies, *around)
        places = await admit(policies, self._scope, self.inbox.receive, self._send)
        if places is None:
            self._passes = self._refused = True
            self._send = _send_refused
            self.inbox.close()
            await self._send(start)
        else:
            await self._begin(start, policies, places)

    async def _begin(self, start: Message, policies: Sequence[Policy], places: Sequence[Place]) -> None:
        assert self._task is not None
        options, encoded = self._guard.options, is_encoded(start["headers"])
        if encoded:
            path = printable(self._scope["path"])
            logger.warning("the stream %s is compressed: no heartbeat can be put into it", path)
            options = replace(options, heartbeat=None, preamble=b"", opening_frame=b"")
        if options.dead_peer_timeout is not None:
            detect_dead_peers(self._scope, options.dead_peer_timeout)
        start = {**start, "headers": corrected(start["headers"], self._scope.get("http_version", "1.1"))}
        exchange = Exchange(start, self._send, connection_of(self._scope, self._send), options)
        self._stream = GuardedStream(exchange, self.inbox, self._task, encoded=encoded)
        self._registration = Registration(self._scope, exchange, policies, places, guarded=True)
        self._registration.begin(self._send)
        await self._stream.begin()
        exchange.ended.add_done_callback(self._record)
        self.inbox.listen(partial(exchange.close, CloseReason.CLIENT_CLOSED))

    async def leave(self, error: BaseException | None) -> bool:
        """See the stream to its end when the application has ended; say whether `error` is to be raised."""
        if self._stream is None:
            return not self._refused or isinstance(error, asyncio.CancelledError) or not is_leaving(error)
        exchange, stream = self._stream.exchange, self._stream
        traceback = None if error is None else error.__traceback__  # without the frames it passes in the exchange
        is_over = stream.is_complete or exchange.ended.done()
        cancelled = stream.take_back() and isinstance(error, asyncio.CancelledError)
        if cancelled:
            exchange.cancel_from_outside()
        if error is None and exchange.reason is None:
            stream.end(RuntimeError("the application returned without completing its response"))
        stream.end(error)
        try:
            await exchange.finish(error if cancelled else None)  # type: ignore[arg-type] # it is a CancelledError then
        finally:
            self._record()
            await asyncio.shield(self._recording)  # type: ignore[arg-type] # just made, if there was none
        failed = exchange.reason is CloseReason.PRODUCER_ERROR
        if failed and exchange.started_after is not None:
            await exchange.break_off()
        exchange.error = None  # its traceback leads back to the exchange
        if error is not None:
            error.__traceback__ = traceback
        is_raised = failed or (is_over and not self._is_due_to_the_end(error))
        if error is not None and not is_raised:
            logger.debug("what the application raised at its stream's end goes no further: %r", error)
        return is_raised

    def give_up(self, error: BaseException) -> None:
        """Note that the application has ended in a way that may end the process."""
        if self._stream is not None:
            self._stream.take_back()
            self._stream.end(RuntimeError(f"the application was ended by {error!r}"))

    def _is_due_to_the_end(self, error: BaseException | None) -> bool:
        """Whether an application that outlived its stream, as with a background task, raised because of that end."""
        assert self._stream is not None
        return self._stream.exchange.reason is not CloseReason.COMPLETED and is_leaving(error)

    def _record(self, _: object = None) -> None:
        # At the stream's end, which the application may outlive: with a background task, or because it does not end.
        if self._recording is None:
            self._recording = asyncio.get_running_loop().create_task(self._close(), name="unbroken record")

    async def _close(self) -> None:
        assert self._stream is not None
        self._stream.release()
        try:
            await self._stream.exchange.finish()
        finally:
            await self._registration.end()


async def _send_refused(message: Message) -> None:
    raise ServerClosing(CloseReason.LIMIT)
