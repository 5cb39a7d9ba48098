"""The only place that sends anything: it keeps to the plan's count, and to the time."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from ssl import SSLContext
from typing import Final

from unbroken.diagnose.endpoint.connection import Connection, Failure, FailureKind, client_context, connect
from unbroken.diagnose.endpoint.exchange import End, Ended, Exchange, Head, Request
from unbroken.diagnose.endpoint.http1 import Http1Exchange
from unbroken.diagnose.endpoint.http2 import Http2Exchange
from unbroken.diagnose.endpoint.options import Options
from unbroken.diagnose.endpoint.recording import Recording
from unbroken.diagnose.endpoint.target import Secrets, Target
from unbroken.diagnose.endpoint.verdict import SentRequest

__all__ = ["HTTP2", "URL_LIMIT", "Asker", "Live", "request_headers"]

USER_AGENT = "unbroken-doctor"
HTTP1, HTTP2 = "http/1.1", "h2"
URL_LIMIT: Final = 500
"""Characters of a URL that are shown."""

Enough = Callable[[Recording], bool]


def request_headers(options: Options, encoding: str, authorization: str | None = None) -> list[tuple[str, str]]:
    """Return the headers of each request, those of the user in the place of ours and of the URL's credentials."""
    # What EventSource sends: WHATWG 9.2.2 sets Accept, and a cache mode that makes it Cache-Control.
    ours = {
        "accept": "text/event-stream",
        "accept-encoding": encoding,
        "cache-control": "no-cache",
        "user-agent": USER_AGENT,
    }
    if authorization is not None:
        ours["authorization"] = authorization
    given = [(name.lower(), value) for name, value in options.headers]
    names = {name for name, _ in given}
    return [(name, value) for name, value in ours.items() if name not in names] + given


class Live:
    """A response that is under way."""

    def __init__(self, connection: Connection, exchange: Exchange, recording: Recording, head_timeout: float) -> None:
        self.connection = connection
        self.recording = recording
        self._exchange = exchange
        self._head_timeout = head_timeout
        self._now = asyncio.get_running_loop().time
        self._started = self._now()

    @property
    def is_sent(self) -> bool:
        """Whether the server got any of the request."""
        return self.recording.ended is None or self.recording.ended.how is not End.UNSENT

    async def read_head(self) -> Head | None:
        """Wait for the head; None if it does not come."""
        await self._receive(self._now() + self._head_timeout, lambda recording: recording.head is not None)
        unsent = self._exchange.unsent
        if self.recording.head is None and self.recording.ended is None and unsent:
            text = f"{unsent} bytes of the body were not taken within {self._head_timeout:g} s"
            self.recording.ended = Ended(End.UNTAKEN, text)
        return self.recording.head

    async def read(self, seconds: float, enough: Enough = lambda recording: False) -> None:
        """Receive for so long, until the end, a bound of the recording, or until it is enough."""
        await self._receive(self._now() + seconds, enough)

    async def _receive(self, deadline: float, enough: Enough) -> None:
        recording = self.recording
        try:
            async with asyncio.timeout_at(deadline):
                while recording.ended is None and not recording.is_full and not enough(recording):
                    self._take(await self._exchange.receive())
                    if self._now() >= deadline:  # a peer that is never silent lets no timeout come
                        return
        except TimeoutError:
            return
        except OSError as exc:
            recording.ended = Ended(End.RESET, exc.strerror or type(exc).__name__)

    def _take(self, arrival: Head | bytes | Ended) -> None:
        at = self._now() - self._started
        match arrival:
            case Head():
                self.recording.take_head(at, arrival)
            case Ended():
                self.recording.ended = arrival
            case data:
                self.recording.take(at, data)

    async def send(self) -> None:
        """Send the request."""
        try:
            async with asyncio.timeout(self._head_timeout):
                self.recording.ended = await self._exchange.send()
        except TimeoutError:
            self.recording.ended = Ended(End.UNTAKEN, f"the request was not taken within {self._head_timeout:g} s")
        except OSError as exc:
            self.recording.ended = Ended(End.RESET, exc.strerror or type(exc).__name__)

    async def leave(self) -> None:
        """Close the connection in good order."""
        self.recording.finish(self._now() - self._started)
        await self.connection.close()


class Asker:
    """Makes requests to one target after the other, and counts them."""

    def __init__(self, target: Target, options: Options, authorization: str | None, secrets: Secrets) -> None:
        self.target = target
        self.sent: list[SentRequest] = []
        self._home = target.origin
        self._options = options
        self._authorization = authorization
        self._secrets = secrets
        self._contexts: dict[str, SSLContext] = {}

    @asynccontextmanager
    async def ask(
        self,
        purpose: str,
        *,
        method: str | None = None,
        encoding: str = "identity",
        last_event_id: bytes | None = None,
        protocol: str = HTTP1,
        tiny: bool = False,
    ) -> AsyncIterator[Live | Failure]:
        """Make one request, and leave its connection in the end.

        `protocol` is what TLS offers first; without TLS `"h2"` is spoken with prior knowledge. Where HTTP/2 is wanted
        and TLS does not agree, nothing is sent.
        """
        connection = await self._agree(protocol, tiny)
        if isinstance(connection, Failure):
            yield connection
            return
        exchange_type = Http2Exchange if protocol == HTTP2 else Http1Exchange
        request = self._request(method, encoding, last_event_id)
        exchange = exchange_type(connection, self.target, request)
        live = Live(connection, exchange, Recording(self._options.byte_limit), self._options.head_timeout)
        try:
            try:
                await live.send()
            finally:
                if live.is_sent:
                    self._count(purpose, request.method, "2" if protocol == HTTP2 else "1.1")
            yield live
        finally:
            await live.leave()

    async def _agree(self, protocol: str, tiny: bool) -> Connection | Failure:
        connection = await self._connect(protocol, tiny)
        if isinstance(connection, Failure) or protocol != HTTP2 or connection.is_http2 or not connection.is_tls:
            return connection
        await connection.close()
        return Failure(FailureKind.VERSION, "HTTP/2 is not offered")

    async def _connect(self, protocol: str, tiny: bool) -> Connection | Failure:
        deadline = asyncio.get_running_loop().time() + self._options.head_timeout
        context = self._context(protocol) if self.target.scheme == "https" else None
        return await connect(self.target, deadline, context, tiny=tiny)

    def _context(self, protocol: str) -> SSLContext:
        if protocol not in self._contexts:
            offered = [HTTP2, HTTP1] if protocol == HTTP2 else [HTTP1]
            self._contexts[protocol] = client_context(self._options.verify, offered)
        return self._contexts[protocol]

    def _request(self, method: str | None, encoding: str, last_event_id: bytes | None) -> Request:
        # After a redirect to somebody else nothing of the user's goes along: it was given for the first.
        at_home = self.target.origin == self._home
        given, authorization = (self._options, self._authorization) if at_home else (Options(), None)
        headers = request_headers(given, encoding, authorization)
        if method == "HEAD":
            # Its response has no body to be read to the end: that the server has done with it shows by the close.
            headers.append(("connection", "close"))
        if last_event_id is not None:
            headers.append(("last-event-id", last_event_id.decode("latin-1")))
        body = None if method == "HEAD" else given.body
        return Request(method or self._options.method, tuple(headers), body)

    def _count(self, purpose: str, method: str, http_version: str) -> None:
        # A redirect may lead to an address that the server made of what it was given.
        url = self._secrets.shown(self.target.shown, URL_LIMIT)
        self.sent.append(SentRequest(purpose, method, url, http_version))
