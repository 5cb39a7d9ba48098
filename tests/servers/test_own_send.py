"""Which bodies may go straight to the server, past the middlewares."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import pytest
import uvicorn
from fastapi import FastAPI, Request
from starlette.middleware.base import BaseHTTPMiddleware
from starlette.middleware.cors import CORSMiddleware
from starlette.middleware.gzip import GZipMiddleware
from starlette.responses import Response

from tests.servers.direct_server import Client, until
from unbroken.servers import is_plain, own_send


class Tattler(Response):
    """Tells which `send` it was given, and which one it would write bodies to."""

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        own = own_send(send)
        self.body = f"{is_plain(send)} {type(getattr(own, '__self__', None)).__name__}".encode()
        self.raw_headers = [(b"content-length", str(len(self.body)).encode())]
        await super().__call__(scope, receive, send)


async def _passing_on(scope: Any, receive: Any, send: Callable[[Any], Awaitable[None]], app: Any) -> None:
    async def counting(message: Any) -> None:
        await send(message)

    await app(scope, receive, counting)


class Unknown:
    """A middleware as people write them: it might want to see the bodies."""

    def __init__(self, app: Any) -> None:
        self.app = app

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        await _passing_on(scope, receive, send, self.app)


async def _dispatch(request: Request, call_next: Any) -> Any:
    return await call_next(request)


@contextlib.contextmanager
def _serving(app: FastAPI) -> Iterator[int]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        server = uvicorn.Server(uvicorn.Config(app, http="httptools", lifespan="off", log_config=None))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
        thread.start()
        try:
            until(lambda: server.started)
            yield listener.getsockname()[1]
        finally:
            server.should_exit = True
            thread.join(10)


def _answer(app: FastAPI) -> str:
    @app.get("/")
    async def tell() -> Response:
        return Tattler()

    with _serving(app) as port:
        client = Client(port)
        client.send(b"GET / HTTP/1.1\r\nHost: x\r\nOrigin: http://elsewhere\r\nConnection: close\r\n\r\n")
        return client.read_to_end().rpartition(b"\r\n\r\n")[2].decode()


def test_frameworks_only_look_at_the_start() -> None:
    """FastAPI's own wrappers, and CORS, which changes headers, are passed by: bodies go to uvicorn itself."""
    app = FastAPI()
    app.add_middleware(CORSMiddleware, allow_origins=["*"], allow_credentials=True)
    assert _answer(app) == "True RequestResponseCycle"


@pytest.mark.parametrize(
    ("middleware", "options"),
    [(Unknown, {}), (GZipMiddleware, {"minimum_size": 1000}), (BaseHTTPMiddleware, {"dispatch": _dispatch})],
    ids=["unknown", "gzip", "base"],
)
def test_what_may_want_the_bodies_gets_them(middleware: Any, options: Any) -> None:
    """Nothing passes by a middleware of somebody's, one that compresses, or one that has a queue of its own."""
    app = FastAPI()
    app.add_middleware(middleware, **options)
    assert _answer(app) == "False NoneType"
