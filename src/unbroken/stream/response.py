"""`EventSourceResponse`: a response for any Starlette or FastAPI route that streams events."""

from __future__ import annotations

import asyncio
import inspect
import time
import warnings
from collections.abc import AsyncIterable, Awaitable, Callable, Iterable, Mapping
from functools import lru_cache
from typing import Any

import anyio
from starlette.background import BackgroundTask
from starlette.responses import Response

from unbroken.errors import CloseReason, ConfigurationError, UnbrokenWarning
from unbroken.observe import StreamRecord, log_record, logger
from unbroken.servers import connection_of, detect_dead_peers
from unbroken.stream.exchange import Exchange, Receive
from unbroken.stream.options import StreamOptions
from unbroken.stream.outlet import Message, Send
from unbroken.stream.producer import AsyncProducer, Producer
from unbroken.stream.threaded import ThreadedProducer
from unbroken.wire import encode_item

__all__ = ["EventSourceResponse"]

ON_CLOSE_TIMEOUT = 10.0
"""Seconds that a coroutine function given as `on_close` may take."""

OnClose = Callable[[StreamRecord], Awaitable[None] | None]


class EventSourceResponse(Response):
    """Stream events to one client, and see to it that the stream ends well however it ends.

        @app.get("/time")
        async def clock() -> EventSourceResponse:
            return EventSourceResponse(ticks())

    Args:
        content: What to stream: an asynchronous or synchronous iterable, usually
            a generator. A `str` is sent as data, a `ServerSentEvent` as what it
            says, bytes as a ready frame, anything else as data in JSON.
        status_code: HTTP status of an orderly start.
        headers: Further headers; they win over the ones set here.
        media_type: Content type, `text/event-stream` by default.
        background: Starlette background task, run after the stream has ended,
            also when its client left.
        heartbeat: Seconds of silence after which a comment is sent, so that no
            hop takes the stream for dead; None sends none.
        heartbeat_event: Type of an event with empty data to send instead of the
            comment, so that a script in a page can see it.
        send_timeout: Seconds that one write may wait for a client which takes
            nothing. Then its connection is aborted. None waits for ever.
        max_age: Seconds after which the stream is ended in good order; its
            client reconnects. None lets it live.
        retry: Reconnection time in milliseconds, told to the client first.
        start_grace: Seconds the first item may take before the headers leave
            without it. An exception within them becomes a real error response.
        cleanup_timeout: Seconds the generator has to clean up, and to say
            farewell, once its stream ends; then it is cancelled for good.
        dead_peer_timeout: Seconds after which a client that vanished without a
            word is given up, by TCP keep-alive and TCP_USER_TIMEOUT (Linux). It is
            set on the server's listening socket and so counts for every connection
            of it. A client that acknowledges and takes nothing counts as well, so
            give it more than `send_timeout`. None leaves the sockets alone.
        on_close: Called once with the `StreamRecord`, after the cleanup; may be
            a coroutine function, and has 10 seconds then. What it raises is logged.
        preframed: Take a `str` for wire text, as `StreamingResponse` does.

    When the stream ends before the generator does, `ClientDisconnected` or
    `ServerClosing`, both a `ConnectionResetError`, is raised at the `yield` where
    it stands. At an `await` it is cancelled, once; `while_connected()` turns that
    into the exception. A generator that catches neither ends silently.

    The response must be awaited on an asyncio event loop.

    Raises:
        ConfigurationError: `content` cannot be iterated, or a time is out of its range.
        EncodeError: `retry` or `heartbeat_event` cannot be written.
    """

    media_type = "text/event-stream"
    default_headers: Mapping[str, str] = {
        # no-store: an event stream is never worth keeping. no-transform: a proxy that compresses it buffers it.
        "cache-control": "no-store, no-transform",
        # nginx, and what understands its header, passes every event on at once.
        "x-accel-buffering": "no",
    }
    """Set unless the caller gave them. No `Connection`: HTTP/2 forbids it, and browsers drop streams that have it."""

    def __init__(
        self,
        content: AsyncIterable[Any] | Iterable[Any],
        status_code: int = 200,
        headers: Mapping[str, str] | None = None,
        media_type: str | None = None,
        background: BackgroundTask | None = None,
        *,
        heartbeat: float | None = 15.0,
        heartbeat_event: str | None = None,
        send_timeout: float | None = 60.0,
        max_age: float | None = None,
        retry: int | None = None,
        start_grace: float = 0.5,
        cleanup_timeout: float = 10.0,
        dead_peer_timeout: float | None = 90.0,
        on_close: OnClose | None = None,
        preframed: bool = False,
    ) -> None:
        self.options = StreamOptions.checked(
            retry=retry,
            heartbeat=heartbeat,
            heartbeat_event=heartbeat_event,
            send_timeout=send_timeout,
            max_age=max_age,
            start_grace=start_grace,
            cleanup_timeout=cleanup_timeout,
            dead_peer_timeout=dead_peer_timeout,
        )
        self.content = _iterable(content)
        self.status_code = status_code
        self.media_type = media_type or self.media_type
        self.background = background
        self.on_close = on_close
        self.encode: Callable[[Any], bytes] = encode_preframed if preframed else encode_data
        if headers:
            self.init_headers(headers)
            self.raw_headers += _missing(self.raw_headers, self.default_headers)
        else:
            self.raw_headers = list(_plain_headers(self.media_type, tuple(self.default_headers.items())))

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """Serve the stream as an ASGI application does.

        Raises:
            ConfigurationError: the request is none of HTTP.
        """
        if scope["type"] != "http":
            raise ConfigurationError(f"a {scope['type']} scope has no event stream: return this from an HTTP route")
        start = {"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers}
        if scope["method"] == "HEAD":
            await send(start)
            await send({"type": "http.response.body", "body": b"", "more_body": False})
        else:
            if self.options.dead_peer_timeout is not None:
                detect_dead_peers(scope, self.options.dead_peer_timeout)
            await self._stream(scope, start, receive, send)
        if self.background is not None:
            await self.background()

    async def _stream(self, scope: Message, start: Message, receive: Receive, send: Send) -> None:
        connection = connection_of(scope, send)
        exchange = Exchange(start, receive, send, connection, self.options)
        opened_at = time.time()
        try:
            await exchange.run(self._producer(exchange))
        finally:
            await self._closed(_record(scope, exchange, opened_at))
        if exchange.reason is CloseReason.PRODUCER_ERROR:
            if exchange.started_after is not None:
                connection.truncate()
            _raise(exchange)
        exchange.error = None  # its traceback leads back to the exchange

    def _producer(self, exchange: Exchange) -> Producer:
        # Taken out of here: the framework may hold the response for longer than the generator should live.
        content, self.content = self.content, ()
        kind = AsyncProducer if isinstance(content, AsyncIterable) else ThreadedProducer
        return kind(content, exchange, self.encode)  # type: ignore[arg-type]

    async def _closed(self, record: StreamRecord) -> None:
        log_record(record)
        if self.on_close is None:
            return
        with anyio.CancelScope(shield=True):
            try:
                result = self.on_close(record)
                if inspect.isawaitable(result):
                    async with asyncio.timeout(ON_CLOSE_TIMEOUT):
                        await result
            except Exception:  # noqa: BLE001 - a callback's fault must not look like the stream's
                logger.exception("on_close of a stream failed")


def _missing(there: list[tuple[bytes, bytes]], headers: Mapping[str, str]) -> list[tuple[bytes, bytes]]:
    """Return those of `headers` that are not there, encoded."""
    given = {name for name, _ in there}
    encoded = [(name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in headers.items()]
    return [header for header in encoded if header[0] not in given]


@lru_cache(maxsize=64)
def _plain_headers(media_type: str, headers: tuple[tuple[str, str], ...]) -> tuple[tuple[bytes, bytes], ...]:
    """Return the headers of a response that was given none; shared, since thousands of streams may be open."""
    content_type = media_type if "charset=" in media_type else f"{media_type}; charset=utf-8"
    return (b"content-type", content_type.encode("latin-1")), *_missing([], dict(headers))


def encode_preframed(item: object) -> bytes:
    """Take text as it is, and anything else as the main way does."""
    return item.encode() if isinstance(item, str) else encode_item(item)


def encode_data(item: object) -> bytes:
    """Encode an item, and say so where text looks like a frame that somebody wrote by hand."""
    if type(item) is str and item[-2:] == "\n\n" and item.startswith(("data:", "event:", "id:", "retry:", ":")):
        warnings.warn(
            f"{item[:40]!r} is sent as data, but looks like wire text. Yield the data alone, or a ServerSentEvent; or "
            "say preframed=True, or import EventSourceResponse from unbroken.compat.starlette",
            UnbrokenWarning,
            stacklevel=2,
        )
    return encode_item(item)


def _iterable(content: object) -> AsyncIterable[Any] | Iterable[Any]:
    if inspect.iscoroutine(content):
        content.close()  # or it would be reported as never awaited, beside the real mistake
        raise ConfigurationError(
            f"content is the coroutine {content.__qualname__}(), which cannot be iterated: "
            "await it first, or make it a generator by yielding in it"
        )
    if isinstance(content, str | bytes) or not isinstance(content, AsyncIterable | Iterable):
        raise ConfigurationError(
            f"content is a {type(content).__name__}, which is no stream of events: give an iterable, "
            "usually a generator that yields them (called, with its parentheses)"
        )
    return content


def _record(scope: Message, exchange: Exchange, opened_at: float) -> StreamRecord:
    client = scope.get("client")
    assert exchange.reason is not None
    return StreamRecord(
        reason=exchange.reason,
        method=scope["method"],
        path=scope["path"],
        client=f"{client[0]}:{client[1]}" if client else None,
        opened_at=opened_at,
        duration=exchange.age(),
        first_byte=exchange.started_after,
        events=exchange.events,
        discarded=exchange.discarded,
        heartbeats=exchange.heartbeats,
        sent_bytes=exchange.sent_bytes,
        cleanup=exchange.cleanup,
        error=exchange.error,
    )


def _raise(exchange: Exchange) -> None:
    """Raise the producer's error without a cycle through this frame, which would keep it and its locals alive."""
    error, exchange.error = exchange.error, None
    try:
        if error is not None:
            raise error
    finally:
        del error
