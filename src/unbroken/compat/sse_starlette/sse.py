"""`EventSourceResponse` with sse-starlette's arguments, and what ends its streams."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterable, Awaitable, Callable, Coroutine, Iterator, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from typing import Any, TypeAlias

import anyio
from starlette.background import BackgroundTask
from starlette.concurrency import iterate_in_threadpool

import unbroken.stream.response
from unbroken.compat.sse_starlette.event import LINE_ENDS, ServerSentEvent, ensure_bytes
from unbroken.errors import ClientDisconnected, CloseReason, ConfigurationError
from unbroken.observe import logger
from unbroken.stream.exchange import Exchange, Receive
from unbroken.stream.outlet import Message, Send
from unbroken.stream.producer import Producer

__all__ = [
    "AppStatus",
    "AsyncContentStream",
    "Content",
    "ContentStream",
    "EventSourceResponse",
    "SendTimeoutError",
    "ServerSentEvent",
    "SyncContentStream",
    "ensure_bytes",
]

Content: TypeAlias = str | bytes | dict[str, Any] | ServerSentEvent | Any
SyncContentStream: TypeAlias = Iterator[Content]
AsyncContentStream: TypeAlias = AsyncIterable[Content]
ContentStream: TypeAlias = AsyncContentStream | SyncContentStream

NO_LIMIT = 10 * 365 * 86400.0
"""Seconds: what `cleanup_timeout=None` comes to."""


class SendTimeoutError(TimeoutError):
    """Kept as a name, and never raised: the generator gets `ClientDisconnected` with the reason `send_timeout`."""


class _ExitSwitch(type):
    # Applications assign to `AppStatus.should_exit`. A property of the class's class hears of it, so that
    # no stream has to look at the flag time and again.
    _should_exit = False

    @property
    def should_exit(cls) -> bool:
        return cls._should_exit

    @should_exit.setter
    def should_exit(cls, value: bool) -> None:
        cls._should_exit = value
        if value:
            for company in _served.copy():
                company.dismiss()


class AppStatus(metaclass=_ExitSwitch):
    """Ends the streams: set `AppStatus.should_exit = True`, from any thread or signal handler.

    Nothing sets it by itself. `AppStatus.handle_exit` has the arguments of a
    signal handler and calls `original_handler` in its turn, if you gave one.
    """

    enable_automatic_graceful_drain = True
    original_handler: Callable[..., Any] | None = None

    @staticmethod
    def disable_automatic_graceful_drain() -> None:
        """Have `handle_exit` leave the streams alone; set `should_exit` yourself then."""
        AppStatus.enable_automatic_graceful_drain = False

    @staticmethod
    def enable_automatic_graceful_drain_mode() -> None:
        """Have `handle_exit` end the streams, which it does by default."""
        AppStatus.enable_automatic_graceful_drain = True

    @staticmethod
    def handle_exit(*args: Any, **kwargs: Any) -> None:
        """Set `should_exit`, unless that is disabled, and call `original_handler`."""
        if AppStatus.enable_automatic_graceful_drain:
            AppStatus.should_exit = True
        if AppStatus.original_handler is not None:
            AppStatus.original_handler(*args, **kwargs)


class EventSourceResponse(unbroken.stream.response.EventSourceResponse):
    r"""`unbroken.EventSourceResponse` with the arguments of sse-starlette's.

    Args:
        content: What to stream: an asynchronous or synchronous iterable of what `ensure_bytes` takes.
        status_code: HTTP status.
        headers: Further headers; `Cache-Control` wins over the one set here.
        media_type: Content type.
        background: Starlette background task, run after the stream has ended.
        ping: Seconds of silence after which a ping is sent, 15 by default; 0 sends none.
        sep: Line end of what has none of its own: CRLF by default, CR or LF.
        ping_message_factory: Makes each ping; without it a ping is a comment with the time.
        data_sender_callable: Runs beside the stream, usually to feed it, and is cancelled when that ends. Its
            exception ends the stream and is raised.
        send_timeout: Seconds that one write may wait for the client; None, the default, waits for ever.
        client_close_handler_callable: Called once with the ASGI message of the client's leaving.
        shutdown_event: Set when `AppStatus.should_exit` is, so that the generator may end by itself.
        shutdown_grace_period: Seconds it has for that, 0 by default. After them `ServerClosing` is raised at the
            `yield` where it stands, or its `await` cancelled.
        cleanup_timeout: Seconds it then has to clean up, 30 by default; None sets no limit.

    Raises:
        ConfigurationError: An argument cannot work; it is a `ValueError`.
        TypeError: `ping` is not a number.
    """

    DEFAULT_PING_INTERVAL: float = 15
    DEFAULT_SEPARATOR = "\r\n"
    DEFAULT_CLEANUP_TIMEOUT = 30.0
    default_headers: Mapping[str, str] = {"cache-control": "no-store"}
    heartbeat_header = None

    def __init__(
        self,
        content: ContentStream,
        status_code: int = 200,
        headers: Mapping[str, str] | None = None,
        media_type: str = "text/event-stream",
        background: BackgroundTask | None = None,
        ping: int | float | None = None,
        sep: str | None = None,
        ping_message_factory: Callable[[], ServerSentEvent] | None = None,
        data_sender_callable: Callable[[], Coroutine[None, None, None]] | None = None,
        send_timeout: float | None = None,
        client_close_handler_callable: Callable[[Message], Awaitable[None]] | None = None,
        shutdown_event: anyio.Event | None = None,
        shutdown_grace_period: float = 0,
        cleanup_timeout: float | None = DEFAULT_CLEANUP_TIMEOUT,
    ) -> None:
        if sep is not None and sep not in LINE_ENDS:
            raise ConfigurationError(f"sep={sep!r} ends no line of an event stream: give '\\r\\n', '\\r' or '\\n'")
        if not shutdown_grace_period >= 0:
            raise ConfigurationError(f"shutdown_grace_period={shutdown_grace_period!r} is not a time: give seconds")
        super().__init__(
            content,
            status_code,
            headers,
            media_type,
            background,
            send_timeout=send_timeout,
            start_grace=0,
            cleanup_timeout=NO_LIMIT if cleanup_timeout is None else cleanup_timeout,
        )
        self.headers["x-accel-buffering"] = "no"
        self.sep = sep or self.DEFAULT_SEPARATOR
        self.ping_interval = self.DEFAULT_PING_INTERVAL if ping is None else ping
        self.ping_message_factory = ping_message_factory
        self.data_sender_callable = data_sender_callable
        self.send_timeout = send_timeout
        self.client_close_handler_callable = client_close_handler_callable
        self.shutdown_event = shutdown_event
        self.shutdown_grace_period = shutdown_grace_period
        self.active = True
        self._company: _Company | None = None

    @property
    def ping_interval(self) -> float:
        """Seconds of silence before a ping; 0 for none."""
        return self._ping_interval

    @ping_interval.setter
    def ping_interval(self, value: float) -> None:
        if not isinstance(value, int | float):
            raise TypeError(f"ping={value!r} is of type {type(value).__name__}, not a number of seconds")
        if not value >= 0:
            raise ConfigurationError(f"ping={value!r} is not a time: give seconds, or 0 for no ping")
        self._ping_interval = value

    @property
    def body_iterator(self) -> AsyncIterable[Any]:
        """The content as an asynchronous iterable."""
        return self.content if isinstance(self.content, AsyncIterable) else iterate_in_threadpool(self.content)

    @body_iterator.setter
    def body_iterator(self, value: AsyncIterable[Any]) -> None:
        self.content = value

    def enable_compression(self, force: bool = False) -> None:
        """Refuse: a compressor holds back what it has too little of.

        Raises:
            NotImplementedError: always.
        """
        raise NotImplementedError("an event stream is not compressed here: events would wait in the compressor")

    async def _stream(self, scope: Message, receive: Receive, send: Send) -> None:
        # Read now and not before: applications set these attributes after the response was made.
        options = replace(self.options, heartbeat=_heartbeat(self.ping_interval), send_timeout=self.send_timeout)
        self.encode = partial(ensure_bytes, sep=self.sep)
        self.options = replace(options, make_heartbeat=self._ping)
        try:
            await super()._stream(scope, receive, send)
        finally:
            self.active = False
            self.options = options  # else a circle, which would keep the response until the collector comes
            company, self._company = self._company, None
            if company is not None:
                await company.leave(options.cleanup_timeout)

    def _dismiss(self) -> Callable[[], None]:
        return self._dismissed

    def _dismissed(self) -> None:
        if AppStatus.enable_automatic_graceful_drain and self._company is not None:
            self._company.dismiss()

    def _producer(self, exchange: Exchange) -> Producer:
        self._company = _Company(self, exchange, super()._producer(exchange))
        return self._company

    def _ping(self) -> bytes:
        factory = self.ping_message_factory or self._default_ping
        try:
            return ensure_bytes(factory(), self.sep)
        except Exception as exc:  # noqa: BLE001 - the application's fault, and it ends the stream as ever
            assert self._company is not None
            self._company.fail(exc)
            return b""

    def _default_ping(self) -> ServerSentEvent:
        return ServerSentEvent(comment=f"ping - {datetime.now(UTC)}", sep=self.sep)


def _heartbeat(ping_interval: float) -> float | None:
    return float(ping_interval) if 0 < ping_interval < float("inf") else None


_served: set[_Company] = set()
"""The streams of this process that are being served, on whichever loop."""


class _Company:
    """What goes along with one stream: its data sender, its close handler and its shutdown.

    It stands in for the stream's producer, since whoever drives that tells it
    of the stream's beginning and, the moment it is known, of its end.
    """

    def __init__(self, response: EventSourceResponse, exchange: Exchange, producer: Producer) -> None:
        self._response = response
        self._exchange = exchange
        self._producer = producer
        self._loop = asyncio.get_running_loop()
        self._sender: asyncio.Task[None] | None = None
        self._handler: asyncio.Task[None] | None = None
        self._timer: asyncio.TimerHandle | None = None

    async def run(self) -> None:
        """Produce to the end, with the data sender beside."""
        _served.add(self)
        if AppStatus.should_exit:
            self.dismiss()
        if self._response.data_sender_callable is not None:
            self._sender = self._loop.create_task(self._response.data_sender_callable())
            self._sender.add_done_callback(self._sent)
        await self._producer.run()

    def interrupt(self) -> None:
        """Tell everyone of the stream's end."""
        self._producer.interrupt()
        self._response.active = False
        if self._sender is not None:
            self._sender.cancel()
        handler = self._response.client_close_handler_callable
        if handler is not None and isinstance(self._exchange.closing(), ClientDisconnected):
            self._handler = self._loop.create_task(_call(handler))

    def kill(self) -> None:
        """End the producer now."""
        self._producer.kill()

    def dismiss(self) -> None:
        """Have the stream end because the application does. Callable from anywhere."""
        with contextlib.suppress(RuntimeError):  # its loop is closed, and the stream with it
            self._loop.call_soon_threadsafe(self._shut_down)

    def _shut_down(self) -> None:
        if self not in _served:
            return  # it ended on the way here
        response = self._response
        if response.shutdown_event is not None:
            response.shutdown_event.set()
        if response.shutdown_grace_period:
            self._timer = self._loop.call_later(response.shutdown_grace_period, self._close)
        else:
            self._close()

    def _close(self) -> None:
        self._exchange.close(CloseReason.SHUTDOWN)

    def fail(self, error: BaseException) -> None:
        """End the stream as its producer's error would."""
        self._exchange.close(CloseReason.PRODUCER_ERROR, error)

    def _sent(self, sender: asyncio.Task[None]) -> None:
        if sender.cancelled() or (error := sender.exception()) is None:
            return
        if self._exchange.reason is None:
            self.fail(error)
        else:
            logger.debug("the data sender of a stream that had ended failed: %r", error)

    async def leave(self, timeout: float) -> None:
        """Wait for those who went along, and no longer than `timeout` seconds."""
        _served.discard(self)
        if self._timer is not None:
            self._timer.cancel()
        if self._sender is not None:
            self._sender.cancel()
        tasks = [task for task in (self._sender, self._handler) if task is not None]
        if tasks:
            with anyio.CancelScope(shield=True):
                _, late = await asyncio.wait(tasks, timeout=timeout)
            for task in late:
                logger.warning("a callback of a stream that has ended does not end: %r", task)
                task.cancel()


async def _call(handler: Callable[[Message], Awaitable[None]]) -> None:
    try:
        await handler({"type": "http.disconnect"})
    except Exception:  # noqa: BLE001 - a callback's fault must not look like the stream's
        logger.exception("client_close_handler_callable of a stream failed")
