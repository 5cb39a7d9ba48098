"""`PublishApp`: the application to mount."""

from __future__ import annotations

import json
import sys
import unicodedata
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager

from starlette.datastructures import Headers
from starlette.responses import Response
from starlette.routing import Route, Router
from starlette.types import Receive, Scope, Send

from unbroken.errors import ConfigurationError, EncodeError, LogUnavailable, TopicClosed
from unbroken.hub.bridge.body import ClientGone, check_head, read_text
from unbroken.hub.bridge.problem import Problem
from unbroken.hub.bridge.publication import Publication, publication_of
from unbroken.hub.bridge.tokens import Holder, Tokens, TokensGiven
from unbroken.hub.event import encode_payload
from unbroken.logs import Appended
from unbroken.observe import logger

__all__ = ["Append", "PublishApp"]

Append = Callable[[str, bytes, str | None, bool], Awaitable[Appended]]
"""Appends a payload to a topic, with a key or None, and closes the topic or not."""

AT_ONCE = 128
"""Requests whose bodies are held at a time: with the bound of a body, the most memory that they can take. A token has
no more of them than it leaves free, alone 64, so that none takes all by sending slowly."""


class PublishApp:
    """An ASGI application at which events are published by HTTP. Made by `Hub.publish_app`, which says what it does."""

    def __init__(
        self,
        append: Append,
        *,
        tokens: TokensGiven,
        topics: str | Sequence[str],
        max_event_bytes: int,
        rate: float | None,
        burst: int,
        body_timeout: float,
    ) -> None:
        if isinstance(body_timeout, bool) or not isinstance(body_timeout, int | float) or not 0 < body_timeout <= 3600:
            raise ConfigurationError(f"body_timeout={body_timeout!r} is no time: give seconds, above 0 and up to 3600")
        self._append = append
        self._tokens = Tokens(tokens, topics, rate, burst)
        self._max_bytes = max_event_bytes
        self._body_timeout = body_timeout
        self._held = 0
        # A router for what only it knows: which part of the path a mount, or a proxy's root_path, has taken.
        self._router = Router([Route("/{topic:path}", _Endpoint(self._answer))], redirect_slashes=False)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve as an ASGI application does. May be mounted under any path, and behind any `root_path`."""
        if scope["type"] == "http" and _is_odd(scope["path"]):
            # Before any router: a newline at the end is nothing to its patterns, and the topic would be another.
            problem = Problem(400, "the path has a control character: leave out what cannot be printed")
            await problem.response()(scope, receive, send)
            return
        await self._router(scope, receive, send)

    async def _answer(self, scope: Scope, receive: Receive) -> Response:
        try:
            return await self._publish(scope, receive)
        except Problem as problem:
            return _closing(problem.response(), scope)

    async def _publish(self, scope: Scope, receive: Receive) -> Response:
        if scope["method"] != "POST":
            raise Problem(405, f"{scope['method'][:20]} is not for this: POST an event", {"allow": "POST"})
        headers = Headers(scope=scope)
        holder = self._tokens.identify(headers.get("authorization", ""))
        holder.pay()
        publication = publication_of(scope["path_params"]["topic"], scope["query_string"], headers)
        if not holder.may_publish(publication.topic):
            raise Problem(403, f"this token is not for topic {publication.topic!r}")
        check_head(headers, self._max_bytes)
        with self._holding(holder):
            return await self._do(publication, await read_text(receive, self._max_bytes, self._body_timeout))

    @contextmanager
    def _holding(self, holder: Holder) -> Iterator[None]:
        if holder.held >= AT_ONCE - self._held:
            raise Problem(503, "too many are publishing at once", {"retry-after": "1"})
        self._held += 1
        holder.held += 1
        try:
            yield
        finally:
            self._held -= 1
            holder.held -= 1

    async def _do(self, publication: Publication, text: str) -> Response:
        payload = self._payload(text, publication.event)
        try:
            appended = await self._append(publication.topic, payload, publication.key, publication.close)
        except TopicClosed:
            raise Problem(409, f"topic {publication.topic!r} is closed: it has had its last event") from None
        except LogUnavailable as error:
            # Which engine, and where, is for whoever runs it, and not for whoever publishes; and the hub has said it
            # once: not again for each request.
            logger.debug("an event that was sent by HTTP was not published, or may not be: %s", error)
            raise Problem(503, _AWAY, {"retry-after": "5"}) from None
        return _done(appended)

    def _payload(self, text: str, event: str | None) -> bytes:
        try:
            payload = encode_payload(text, event, sys.maxsize)
        except EncodeError as error:
            raise Problem(400, str(error)) from None
        if len(payload) > self._max_bytes:
            raise Problem(
                413,
                f"the event has {len(payload)} bytes, and the hub takes {self._max_bytes}: publish where the data is "
                "to be fetched",
            )
        return payload


_AWAY = (
    "it cannot be said that the event was published: the log is out of reach. Send it again later; with an "
    "Idempotency-Key it is published once"
)


class _Endpoint:
    """An application of one function; a router takes functions for something else."""

    def __init__(self, answer: Callable[[Scope, Receive], Awaitable[Response]]) -> None:
        self._answer = answer

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            response = await self._answer(scope, receive)
        except ClientGone:
            return  # there is nobody to be answered
        await response(scope, receive, send)


def _is_odd(path: str) -> bool:
    return any(unicodedata.category(character) == "Cc" for character in path)


def _done(appended: Appended) -> Response:
    content = json.dumps({"id": str(appended.position), "duplicate": appended.duplicate})
    status = 200 if appended.duplicate else 201
    return Response(content, status, {"cache-control": "no-store"}, "application/json")


def _closing(response: Response, scope: Scope) -> Response:
    # What is left of such a body would be read from the connection, by the server, for as long as it comes.
    if response.status_code in (408, 413) and scope.get("http_version", "1.1").startswith("1"):  # RFC 9113 8.2.2
        response.headers["connection"] = "close"
    return response
