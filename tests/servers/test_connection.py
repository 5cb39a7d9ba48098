"""Looking through middlewares for the server's own `send`."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.base import BaseHTTPMiddleware
from starlette.middleware.cors import CORSMiddleware
from starlette.middleware.gzip import GZipMiddleware
from starlette.requests import Request
from starlette.routing import Route

from unbroken.servers.connection import layers


async def server_send(message: Any) -> None:
    """Stand at the end of the chain, as a server's `send` does."""


class Capture:
    """A response that keeps the `send` it is called with."""

    def __init__(self) -> None:
        self.send: Any = None

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        self.send = send


class Pass(BaseHTTPMiddleware):
    async def dispatch(self, request: Request, call_next: Any) -> Any:
        return await call_next(request)


def innermost_under(*middleware: Middleware) -> tuple[Any, Any]:
    """Return the `send` that a response gets under the middlewares, and what is found inside it."""
    capture = Capture()

    async def endpoint(request: Request) -> Any:
        return capture

    app = Starlette(routes=[Route("/", endpoint)], middleware=list(middleware))
    scope = {
        "type": "http", "method": "GET", "path": "/", "raw_path": b"/", "root_path": "", "query_string": b"",
        "headers": [(b"origin", b"http://a"), (b"accept-encoding", b"gzip")], "http_version": "1.1",
    }  # fmt: skip

    async def receive() -> Any:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def main() -> Any:
        await app(scope, receive, server_send)
        return list(layers(capture.send))[-1]

    return capture, asyncio.run(main())


@pytest.mark.parametrize(
    "middleware",
    [
        (),
        (Middleware(CORSMiddleware, allow_origins=["*"]),),
        (Middleware(GZipMiddleware),),
        (Middleware(CORSMiddleware, allow_origins=["*"]), Middleware(GZipMiddleware)),
    ],
    ids=["none", "cors", "gzip", "both"],
)
def test_starlette_s_own_wrappers_are_looked_through(middleware: tuple[Middleware, ...]) -> None:
    """Closures, responders and partials lead to the server's `send`."""
    capture, found = innermost_under(*middleware)
    assert capture.send is not server_send
    assert found is server_send


def test_a_queue_in_between_ends_the_search() -> None:
    """What BaseHTTPMiddleware gives is not the server's, and is returned as it is found."""
    found = asyncio.run(_under_queue())
    assert found is not server_send
    assert callable(found)


async def _under_queue() -> Any:
    capture = Capture()

    async def endpoint(request: Request) -> Any:
        async def respond(scope: Any, receive: Any, send: Any) -> None:
            await capture(scope, receive, send)
            await send({"type": "http.response.start", "status": 200, "headers": []})
            await send({"type": "http.response.body", "body": b""})

        return respond

    app = Starlette(routes=[Route("/", endpoint)], middleware=[Middleware(Pass)])
    scope = {
        "type": "http", "method": "GET", "path": "/", "raw_path": b"/", "root_path": "", "query_string": b"",
        "headers": [], "http_version": "1.1",
    }  # fmt: skip

    async def receive() -> Any:
        return {"type": "http.request", "body": b"", "more_body": False}

    await app(scope, receive, server_send)
    return list(layers(capture.send))[-1]


def test_a_cycle_ends() -> None:
    """A wrapper that leads back to itself does not hang the search."""

    def make() -> Any:
        async def wrapped(message: Any) -> None:
            await send(message)

        send = wrapped
        return wrapped

    assert all(map(callable, layers(make())))


def test_anything_else_is_returned_as_it_is() -> None:
    """Partials, callables and built-ins that wrap nothing known are the end."""
    for send in (partial(server_send), print, object()):
        assert list(layers(send)) == [send]
