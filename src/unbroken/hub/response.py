"""`Hub.response`: the response for a route that streams topics."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from contextvars import copy_context
from dataclasses import replace
from typing import Any

from starlette.requests import Request
from starlette.responses import PlainTextResponse

from unbroken.errors import CloseReason, ConfigurationError, LogUnavailable
from unbroken.hub.access import Authorize, Grant, decide
from unbroken.hub.beginning import Beginning
from unbroken.hub.engine import Engine
from unbroken.hub.exchange import HubExchange
from unbroken.hub.home import Home
from unbroken.hub.numbering import Numbering
from unbroken.hub.reading import Reading
from unbroken.hub.subscriber import Subscriber
from unbroken.observe import logger
from unbroken.servers import DIRECT, Connection, is_plain, own_send
from unbroken.stream.exchange import Exchange
from unbroken.stream.outlet import Message, Send
from unbroken.stream.producer import Producer
from unbroken.stream.registration import Registration
from unbroken.stream.response import EventSourceResponse

__all__ = ["HubResponse"]

CURSOR_HEADER = b"last-event-id"
CURSOR_QUERY = "last_event_id"


class HubResponse(EventSourceResponse):
    """Stream topics to one client; made by `Hub.response`."""

    def __init__(
        self,
        home: Home,
        request: Request,
        numbering: Numbering,
        reading: Reading,
        default: Beginning,
        authorize: Authorize | None,
        *,
        detach: bool,
        user: str | int | None,
        **options: Any,
    ) -> None:
        super().__init__((), **options)
        self._home = home
        self._engine: Engine | None = None
        self._asked_at = 0.0
        self._request: Request | None = request
        self._numbering = numbering
        self._reading = reading
        self._default = default
        self._authorize = authorize
        self._detach = detach
        self._user = user
        self._scope: Message = {}
        self._send: Send | None = None

    async def _prepare(self, scope: Message, send: Send) -> PlainTextResponse | None:
        """Decide whether and from where this client may read; return the answer if it may not."""
        request, self._request = self._request, None
        if request is None:
            raise ConfigurationError("this response has been used: call hub.response() for each request")
        try:
            self._engine = await self._home.open()
        except LogUnavailable as exc:
            logger.error("a stream was refused: %s", exc)
            return _refusal(
                "The log of this stream cannot be opened now. Try again later.\n", 503, {"retry-after": "5"}
            )
        # Before the question: what is revoked while it is answered must be heard of.
        await self._engine.receive(scope)
        self._asked_at = asyncio.get_running_loop().time()
        grant = await decide(self._authorize, request, self._numbering.names)
        if grant is None:
            return _refusal("This stream may not be read by you.\n", 403)
        if not self._begin(request):
            return _refusal(f"{CURSOR_QUERY} is no cursor of this stream: leave it out, or give an event's id.\n", 400)
        self._admit(grant)
        self._scope, self._send = scope, send
        return None

    def _begin(self, request: Request) -> bool:
        """Find where to begin. A cursor that cannot be read is the caller's fault in a query, and a gap in a header.

        A browser sends the header by itself, and never comes back after an answer that is not 200. What it
        has may be another server's id, from before this one was there.
        """
        header = next((value for name, value in request.scope["headers"] if name == CURSOR_HEADER), b"")
        text = header.decode("latin-1") or request.query_params.get(CURSOR_QUERY, "")
        if not text:
            return True
        cursor = self._numbering.read(text)
        self._default = Beginning(cursor=cursor, unreadable=cursor is None)
        return cursor is not None or bool(header)

    def _admit(self, grant: Grant) -> None:
        self._user = grant.user if self._user is None else self._user
        if grant.max_age is not None:
            age = grant.max_age if self.options.max_age is None else min(grant.max_age, self.options.max_age)
            self.options = replace(self.options, max_age=age, max_age_jitter=0.0)

    def _exchange(self, start: Message, send: Send, connection: Connection) -> Exchange:
        return HubExchange(start, send, connection, self.options)

    def _producer(self, exchange: Exchange) -> Producer:
        assert isinstance(exchange, HubExchange)
        engine, self._engine = self._engine, None
        assert engine is not None
        subscriber = Subscriber(engine, self._numbering, self._reading, self._default, exchange)
        subscriber.user = self._user
        exchange.subscriber = subscriber
        engine.admit(subscriber, self._asked_at)
        self._choose_way(subscriber, exchange)
        return subscriber

    def _choose_way(self, subscriber: Subscriber, exchange: HubExchange) -> None:
        """Let a flush write, where it can without leaving anybody out: a middleware that changes bodies, a filter."""
        scope, send = self._scope, self._send
        self._scope, self._send = {}, None
        # A filter, and a middleware, may ask who the request's user is; a pump that a flush starts would not know.
        exchange.context = copy_context()
        if self._reading.filter is not None or exchange.connection.takes_any_amount:
            return
        subscriber.send = own_send(send)
        if subscriber.send is not None and self._reading.conflate_by is None:
            exchange.context = None  # nobody's code runs in it, and thousands may be open
        if is_plain(send):
            subscriber.direct = (scope.get("extensions") or {}).get(DIRECT)
            subscriber.detaches = self._detach and self.background is None

    async def _end(self, exchange: Exchange, stream: Registration) -> None:
        assert isinstance(exchange, HubExchange)
        if exchange.goes_on():
            stream.travel_light()
            exchange.subscriber.engine.see_off(exchange.ended, lambda: _see_off(exchange, stream))
        else:
            exchange.subscriber.retire()
            await super()._end(exchange, stream)


async def _see_off(exchange: HubExchange, stream: Registration) -> None:
    """Do at the end of a detached stream what its request's task would have done."""
    try:
        await exchange.finish()
    finally:
        exchange.subscriber.retire()
        await stream.end()
    if exchange.reason is CloseReason.PRODUCER_ERROR:
        exchange.connection.truncate()
        logger.error("a detached stream failed", exc_info=exchange.error)
    exchange.error = None


def _refusal(text: str, status: int, headers: Mapping[str, str] | None = None) -> PlainTextResponse:
    return PlainTextResponse(text, status, {"cache-control": "no-store", **(headers or {})})
