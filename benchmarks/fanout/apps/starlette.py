"""The libraries that answer with a generator, each with a queue per subscriber."""

from __future__ import annotations

import socket
from collections.abc import AsyncIterator, Callable

from fastapi.responses import Response, StreamingResponse

from benchmarks.fanout.apps.fastapi import application, run
from benchmarks.fanout.apps.queues import Queues

__all__ = ["fastapi_sse", "sse_starlette", "streaming_response"]


def streaming_response(_: float, listener: socket.socket) -> None:
    def respond(texts: AsyncIterator[str]) -> Response:
        return StreamingResponse((f"data: {text}\n\n" async for text in texts), media_type="text/event-stream")

    _serve(respond, listener)


def sse_starlette(heartbeat: float, listener: socket.socket) -> None:
    from sse_starlette import EventSourceResponse

    def respond(texts: AsyncIterator[str]) -> Response:
        return EventSourceResponse(({"data": text} async for text in texts), ping=int(heartbeat))

    _serve(respond, listener)


def _serve(respond: Callable[[AsyncIterator[str]], Response], listener: socket.socket) -> None:
    queues = Queues()
    app = application(queues.publish, queues.__len__)

    @app.get("/events")
    async def events() -> Response:
        return respond(queues.subscribe(newest=False))

    @app.get("/first")
    async def first() -> Response:
        return respond(queues.subscribe(newest=True))

    run(app, listener)


def fastapi_sse(heartbeat: float, listener: socket.socket) -> None:
    import fastapi.routing
    from fastapi.sse import EventSourceResponse

    # It offers no parameter for it.
    setattr(fastapi.routing, "_PING_INTERVAL", heartbeat)  # noqa: B010 (a private name of another library)
    queues = Queues()
    app = application(queues.publish, queues.__len__)

    @app.get("/events", response_class=EventSourceResponse)
    async def events() -> AsyncIterator[str]:
        async for text in queues.subscribe(newest=False):
            yield text

    @app.get("/first", response_class=EventSourceResponse)
    async def first() -> AsyncIterator[str]:
        async for text in queues.subscribe(newest=True):
            yield text

    run(app, listener)
