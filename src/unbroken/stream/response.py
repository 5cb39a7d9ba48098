"""`EventSourceResponse`: a response for any Starlette or FastAPI route that streams events."""

from __future__ import annotations

import inspect
import warnings
from collections.abc import AsyncIterable, Callable, Iterable, Mapping
from functools import lru_cache
from typing import Any

from starlette.background import BackgroundTask
from starlette.responses import Response

from unbroken.errors import CloseReason, ConfigurationError, UnbrokenWarning
from unbroken.servers import Connection, connection_of, detect_dead_peers
from unbroken.stream.exchange import Exchange, Receive
from unbroken.stream.limits import Limits
from unbroken.stream.options import StreamOptions
from unbroken.stream.outlet import Message, Send
from unbroken.stream.producer import AsyncProducer, Producer
from unbroken.stream.registration import GUARD, OnClose, Registration, admit, policies_of
from unbroken.stream.revalidation import Revalidate
from unbroken.stream.threaded import ThreadedProducer
from unbroken.wire import encode_item

__all__ = ["EventSourceResponse"]


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
            also when its client left or it was refused.
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
        max_age_jitter: The share of `max_age` by which a stream ends earlier, drawn at random: streams that began
            together do not all come back together.
        cleanup_timeout: Seconds the generator has to clean up, and to say
            farewell, once its stream ends; then it is cancelled for good.
        dead_peer_timeout: Seconds after which a client that vanished without a
            word is given up, by TCP keep-alive and TCP_USER_TIMEOUT (Linux). It is
            set on the server's listening socket and so counts for every connection
            of it. A client that acknowledges and takes nothing counts as well, so
            give it more than `send_timeout`. None leaves the sockets alone.
        drain_grace: Seconds the generator has for its cleanup and a farewell when the server shuts down: on SIGTERM,
            on SIGINT, or when it stops listening. None leaves the stream out of that; it may hang the shutdown.
        drain_retry: Least and most of the reconnection time in milliseconds, drawn at random, that the client is
            told then: not all come back at once.
        limits: Bounds the streams that are open; usually one `Limits` for many responses. Over a limit the answer
            is 503.
        revalidate: Called every so often with the connection; when it returns False the stream ends with
            `revoked`. May be a coroutine function. What it raises is logged, and it is asked again.
        revalidate_interval: Seconds between two such calls.
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
    heartbeat_header: str | None = "stream-heartbeat"
    """Tells a reader after how many seconds of silence there is a heartbeat, so that it knows a dead connection."""

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
        preframed: bool = False,
    ) -> None:
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
        self.content = _iterable(content)
        self.status_code = status_code
        self.media_type = media_type or self.media_type
        self.background = background
        self.encode: Callable[[Any], bytes] = encode_preframed if preframed else encode_data
        defaults = (*self.default_headers.items(), *self._told())
        if headers:
            self.init_headers(headers)
            self.raw_headers += _missing(self.raw_headers, dict(defaults))
        else:
            self.raw_headers = list(_plain_headers(self.media_type, defaults))

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """Serve the stream as an ASGI application does.

        Raises:
            ConfigurationError: the request is none of HTTP.
        """
        if scope["type"] != "http":
            raise ConfigurationError(f"a {scope['type']} scope has no event stream: return this from an HTTP route")
        refusal = await self._prepare(scope, send)
        if refusal is not None:
            await refusal(scope, receive, send)
        elif scope["method"] == "HEAD":
            await send(self._start())
            await send({"type": "http.response.body", "body": b"", "more_body": False})
        else:
            await self._stream(scope, receive, send)
        if self.background is not None:
            await self.background()

    async def _stream(self, scope: Message, receive: Receive, send: Send) -> None:
        guard = scope.get(GUARD)
        policies = self.policies if guard is None else (*self.policies, *guard.stand_aside())
        if self.options.dead_peer_timeout is not None:
            detect_dead_peers(scope, self.options.dead_peer_timeout)
        connection = connection_of(scope, send)
        places = await admit(policies, scope, receive, send)
        if places is None:
            return
        exchange = self._exchange(self._start(), send, connection)
        producer = self._producer(exchange)
        stream = Registration(scope, exchange, policies, places, dismiss=self._dismiss())
        try:
            stream.begin(send)
            await exchange.run(producer, receive)
        finally:
            await self._end(exchange, stream)
        if exchange.reason is CloseReason.PRODUCER_ERROR:
            if exchange.started_after is not None:
                await exchange.break_off()
            _raise(exchange)
        exchange.error = None  # its traceback leads back to the exchange

    def _told(self) -> tuple[tuple[str, str], ...]:
        name, seconds = self.heartbeat_header, self.options.heartbeat
        return () if name is None or seconds is None else ((name, f"{seconds:g}"),)

    def _start(self) -> Message:
        # Made where it is wanted: a frame that waits for the stream's end would hold it all the time.
        return {"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers}

    async def _prepare(self, scope: Message, send: Send) -> Response | None:
        """Get ready, or return what to answer in place of a stream."""
        return None

    def _exchange(self, start: Message, send: Send, connection: Connection) -> Exchange:
        return Exchange(start, send, connection, self.options)

    async def _end(self, exchange: Exchange, stream: Registration) -> None:
        await stream.end()

    def _dismiss(self) -> Callable[[], None] | None:
        """Return what ends the stream when its server shuts down, if that is not the exchange."""
        return None

    def _producer(self, exchange: Exchange) -> Producer:
        # Taken out of here: the framework may hold the response for longer than the generator should live.
        content, self.content = self.content, ()
        kind = AsyncProducer if isinstance(content, AsyncIterable) else ThreadedProducer
        return kind(content, exchange, self.encode)  # type: ignore[arg-type]


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


def _raise(exchange: Exchange) -> None:
    """Raise the producer's error without a cycle through this frame, which would keep it and its locals alive."""
    error, exchange.error = exchange.error, None
    try:
        if error is not None:
            raise error
    finally:
        del error
