"""An httpx2 client's way to an ASGI application in this process, on which event streams stream."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping
from types import TracebackType
from typing import Any, Self

from unbroken.errors import EventSourceError
from unbroken.testing.connection import ASGIApp
from unbroken.testing.driven_stream import AppFailedError, DrivenStream, StreamEnd
from unbroken.testing.driver import BUFFER_MESSAGES, MAX_RECEIVED_BYTES, TIMEOUT, _serve
from unbroken.testing.httpx_family import family_of, httpx2, read_timeout, stream_class
from unbroken.testing.pulled import PulledConnection
from unbroken.testing.request import build_scope

__all__ = ["StreamingASGITransport"]


class StreamingASGITransport(httpx2.AsyncBaseTransport):
    """Gives the requests of an `httpx2.AsyncClient` to an ASGI application, and its responses back as they come.

    The client meets what it meets in the network: a body message is one chunk, `send`
    suspends while the client does not read, closing a response lets the application see
    `http.disconnect`, a body that the application does not complete is a `RemoteProtocolError`,
    and silence beyond the client's own read timeout a `ReadTimeout`. A client that has no
    read timeout waits as long as the application does.

    Each request runs in an asyncio task that the transport owns. Closing it (as closing the
    client does) lets every client leave, waits for the applications' ends, and cancels those
    that do not come. It serves one event loop, asyncio's, and runs no lifespan. A client of
    httpx is served as well, and gets responses and errors of httpx.

    Example:
        async with httpx2.AsyncClient(transport=StreamingASGITransport(app), base_url="http://testserver") as client:
            async with client.stream("GET", "/clock") as response: ...

    Args:
        app: The application, called with a scope of HTTP/1.1.
        scope: Keys that are added to the scope or replace some of it, such as `root_path` or `client`.
        buffer_messages: Messages that `send` takes before the client reads them; 16 by default.
        timeout: Seconds that an application may take to end after its client has left; 5 by default.
        raise_app_errors: Raise what the application raises: out of the request or the read that
            meets it; if there is none, out of the next request or the transport's close. An error of the
            client's own kind (an `EventSourceError`, or one of httpx2's) is the cause of an `AppFailedError`
            where the client would take it for the network's. If not, the client gets a response of status 500,
            or a body that breaks off, as from a server.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        scope: Mapping[str, Any] | None = None,
        buffer_messages: int = BUFFER_MESSAGES,
        timeout: float = TIMEOUT,
        raise_app_errors: bool = True,
    ) -> None:
        self._app = app
        self._scope = dict(scope or {})
        self._buffer_messages = buffer_messages
        self._timeout = timeout
        self._raise_app_errors = raise_app_errors
        self._running: set[DrivenStream] = set()
        self._untold = list[DrivenStream]()

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        """Give the request to the application, and return its response as soon as it has started.

        Raises:
            httpx2.ReadTimeout: It did not start within the client's read timeout.
            BaseException: What an application raised, before its response or since the last request.
        """
        family = family_of(request)
        # What came after the client had left, as it does at a `stream-error`: nobody shall reconnect to it for ever.
        if (untold := self._take_untold()) is not None:
            raise _told(untold, family)
        await request.aread()
        connection, stream = self._serve(request)
        body = stream_class(_Body, family.AsyncByteStream)(self, request, connection, stream)
        try:
            await body.wait_until(lambda: stream.has_started)
            self.tell(stream, family)
        except BaseException:
            stream._leave()
            raise
        response: httpx2.Response = (
            family.Response(stream.status, headers=connection.raw_headers, stream=body)
            if stream.has_started
            else family.Response(500, content=b"Internal Server Error")  # as a server does for an application
        )
        return response

    def _serve(self, request: httpx2.Request) -> tuple[PulledConnection, DrivenStream]:
        connection = PulledConnection(
            request.content,
            send_raises=False,
            buffer_messages=self._buffer_messages,
            max_received_bytes=MAX_RECEIVED_BYTES,
        )
        scope = _scope_of(request) | self._scope
        app = asyncio.create_task(_serve(self._app, scope, connection), name=f"app {request.method} {request.url.path}")
        stream = DrivenStream(connection, app, self._timeout)
        self._running.add(stream)
        app.add_done_callback(lambda _: self._note_end_of(stream))
        return connection, stream

    def _note_end_of(self, stream: DrivenStream) -> None:
        # It is called a turn after the task is done: whoever read in between was told, and has taken the stream out.
        if stream in self._running:
            self._running.discard(stream)
            if self._raise_app_errors and stream.error is not None:
                self._untold.append(stream)

    def tell(self, stream: DrivenStream, family: Any) -> None:
        """Raise what the application raised instead of completing its response, if that is wanted."""
        error = stream.error if stream.ended is StreamEnd.TRUNCATED else None
        if error is None or not self._raise_app_errors:
            return
        self._running.discard(stream)
        self._untold = [other for other in self._untold if other is not stream]
        raise _told(error, family)

    def _take_untold(self) -> BaseException | None:
        untold, self._untold = self._untold, []
        return _first_of([stream.error for stream in untold])

    async def aclose(self) -> None:
        """Leave every response that is still open, and wait for the applications' ends.

        Raises:
            AppStillRunningError: One did not end within `timeout`; it was cancelled.
            BaseException: What an application raised that nobody has been told yet.
        """
        if (failure := await self._end()) is not None:
            raise failure

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None = None,
        exc_value: BaseException | None = None,
        traceback: TracebackType | None = None,
    ) -> None:
        # The test's own failure is what to show first; what became of the application is a note to it.
        failure = await self._end()
        if failure is not None and exc_value is None:
            raise failure
        if failure is not None and exc_value is not None and failure is not exc_value:
            exc_value.add_note(f"meanwhile in the application: {failure!r}")

    async def __aenter__(self) -> Self:
        return self

    async def _end(self) -> BaseException | None:
        complaints = await asyncio.gather(*(stream._end_app() for stream in tuple(self._running)))
        return _first_of([*complaints, self._take_untold()])


class _Body:
    """The body of one response: what there is of it, then its end, whichever it is."""

    def __init__(
        self,
        transport: StreamingASGITransport,
        request: httpx2.Request,
        connection: PulledConnection,
        stream: DrivenStream,
    ) -> None:
        self._transport = transport
        self._request = request
        self._family = family_of(request)
        self._connection = connection
        self._stream = stream

    async def wait_until(self, condition: Callable[[], bool]) -> None:
        """Wait until the condition holds or the exchange has ended.

        Raises:
            httpx2.ReadTimeout: Neither came within the client's read timeout.
        """
        changes, limit = self._connection.changes, read_timeout(self._request)

        def there() -> bool:
            return condition() or self._stream.ended is not None

        if limit is None:
            await changes.until(there)
        elif not await changes.until_deadline(there, limit):
            raise self._family.ReadTimeout(f"nothing came within {limit:g} s; {self._stream._seen()}")

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> bytes:
        # RFC 9110 9.3.2: a HEAD has no body, whatever the application sends.
        while self._request.method != "HEAD":
            await self.wait_until(lambda: not self._connection.drained)
            if piece := self._connection.take_piece():
                return piece
            if self._stream.ended is not None:
                self._check_end(self._stream.ended)
                break
        raise StopAsyncIteration

    def _check_end(self, end: StreamEnd) -> None:
        self._transport.tell(self._stream, self._family)
        if end is StreamEnd.TRUNCATED:
            broken = "the application ended without completing the response's body"
            raise self._family.RemoteProtocolError(broken) from self._stream.error
        if end is StreamEnd.DISCONNECTED:
            raise self._family.ReadError("the response was closed")

    async def aclose(self) -> None:
        # As a socket's close: it does not wait for what the server makes of it. The transport's close does.
        self._stream._leave()


def _told(error: BaseException, family: Any) -> BaseException:
    """Return an application's error as one that no client takes for a fault of the network, and reconnects at."""
    if not isinstance(error, (EventSourceError, family.HTTPError)):
        return error
    failed = AppFailedError(f"the application raised {error!r}")
    failed.__cause__ = error
    return failed


def _first_of(errors: Iterable[BaseException | None]) -> BaseException | None:
    first = None
    for error in errors:
        first = error if first is None else first
        if first is not None and error is not None and error is not first:
            first.add_note(f"another application: {error!r}")
    return first


def _scope_of(request: httpx2.Request) -> dict[str, Any]:
    url = request.url
    scope = build_scope(
        url.raw_path.partition(b"?")[0].decode("ascii"),
        method=request.method,
        headers=(),
        query=url.query.decode("ascii"),
        body=b"",
        client=("127.0.0.1", 50000),
        spec_version="2.3",
    )
    return scope | {
        "scheme": url.scheme,
        "server": (url.host, url.port or (443 if url.scheme == "https" else 80)),
        "headers": [(name.lower(), value) for name, value in request.headers.raw],
    }
