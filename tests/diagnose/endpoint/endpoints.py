"""Endpoints of every kind that the doctor is shown."""

from __future__ import annotations

import asyncio
import json
import time
import zlib
from collections.abc import AsyncIterator, Callable
from typing import Any

import fastapi
import fastapi.sse
from sse_starlette import EventSourceResponse as SseStarletteResponse
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, RedirectResponse, Response, StreamingResponse
from starlette.routing import Mount, Route

from unbroken import EventSourceResponse, ServerSentEvent

__all__ = ["WRONG", "app", "compressing", "stream_of"]

TICK = 0.05
EVENT_STREAM = "text/event-stream"
GOOD_HEADERS = {"cache-control": "no-store", "x-accel-buffering": "no"}


def _last(request: Request) -> int:
    told = request.headers.get("last-event-id", "")
    return int(told) if told.isdigit() else 0


async def numbered(first: int) -> AsyncIterator[ServerSentEvent]:
    """Count on, an event a tick."""
    number = first
    while True:
        number += 1
        yield ServerSentEvent(str(number), id=str(number), retry=3000)
        await asyncio.sleep(TICK)


async def unbroken_ticks(request: Request) -> Response:
    return EventSourceResponse(numbered(_last(request)), dead_peer_timeout=None)


async def sse_starlette_ticks(request: Request) -> Response:
    async def ticks() -> AsyncIterator[dict[str, str]]:
        while True:
            yield {"data": "tick"}
            await asyncio.sleep(TICK)

    return SseStarletteResponse(ticks())


async def raw_ticks(request: Request) -> Response:
    async def ticks() -> AsyncIterator[str]:
        while True:
            yield "data: tick\n\n"
            await asyncio.sleep(TICK)

    return StreamingResponse(ticks(), media_type=EVENT_STREAM)


async def large_ticks(request: Request) -> Response:
    """Send what fills the buffer of a proxy every few ticks."""

    async def ticks() -> AsyncIterator[str]:
        while True:
            yield f"data: {'x' * 300}\n\n"
            await asyncio.sleep(TICK / 2)

    return StreamingResponse(ticks(), media_type=EVENT_STREAM)


async def timed_ticks(request: Request) -> Response:
    """Send events that say when they were made, and a few of which fill the buffer of a proxy."""

    async def ticks() -> AsyncIterator[str]:
        while True:
            yield f"data: {json.dumps({'at': time.time(), 'fill': 'x' * 1000})}\n\n"
            await asyncio.sleep(0.34)

    return StreamingResponse(ticks(), media_type=EVENT_STREAM)


async def replaying_from_the_start(request: Request) -> Response:
    """Send ids, and ignore the one that a client comes back with."""
    return EventSourceResponse(numbered(0), dead_peer_timeout=None)


async def live_only(request: Request) -> Response:
    """Send ids that go on, and never what was missed."""
    started = int(time.time() * 1000)
    return EventSourceResponse(numbered(started), dead_peer_timeout=None)


async def telling_the_gap(request: Request) -> Response:
    async def ticks() -> AsyncIterator[ServerSentEvent]:
        if _last(request):
            yield ServerSentEvent({}, event="stream-gap")
        async for event in numbered(_last(request) + 100):
            yield event

    return EventSourceResponse(ticks(), dead_peer_timeout=None)


def stream_of(*pieces: bytes, pause: float = 0.0, headers: dict[str, str] | None = None) -> Callable[[Any], Any]:
    """Return an endpoint that sends these pieces, and ends."""

    async def endpoint(request: Request) -> Response:
        async def body() -> AsyncIterator[bytes]:
            for piece in pieces:
                yield piece
                await asyncio.sleep(pause)

        return StreamingResponse(body(), media_type=EVENT_STREAM, headers=headers or GOOD_HEADERS)

    return endpoint


async def failing(request: Request) -> Response:
    async def body() -> AsyncIterator[bytes]:
        yield b"data: 1\n\n"
        raise RuntimeError("the producer fails, as it should here")

    return StreamingResponse(body(), media_type=EVENT_STREAM, headers=GOOD_HEADERS)


async def silent(request: Request) -> Response:
    async def body() -> AsyncIterator[bytes]:
        yield b"data: 1\n\n"
        await asyncio.Event().wait()

    return StreamingResponse(body(), media_type=EVENT_STREAM, headers=GOOD_HEADERS)


async def mute(request: Request) -> Response:
    """Never answer at all."""
    await asyncio.Event().wait()
    return Response()


BEATS = {"comment": b": keep-alive\n\n", "nameless": b"data: ping\n\n", "named": b"event: ping\ndata:\n\n"}


async def beating(request: Request) -> Response:
    """Send an event, and then heartbeats of one form."""

    async def body() -> AsyncIterator[bytes]:
        yield b"data: 1\n\n"
        while True:
            await asyncio.sleep(2 * TICK)
            yield BEATS[request.path_params["form"]]

    return StreamingResponse(body(), media_type=EVENT_STREAM, headers=GOOD_HEADERS)


async def bursty(request: Request) -> Response:
    """Send several events at once, again and again: as a producer may."""

    async def body() -> AsyncIterator[bytes]:
        while True:
            yield b"data: and so on, and so on, and so on\n\n" * 50
            await asyncio.sleep(0.2)

    return StreamingResponse(body(), media_type=EVENT_STREAM, headers=GOOD_HEADERS)


async def flooding(request: Request) -> Response:
    """Send as fast as it goes."""

    async def body() -> AsyncIterator[bytes]:
        while True:
            yield b"data: " + b"x" * 500 + b"\n\n"
            await asyncio.sleep(0)

    return StreamingResponse(body(), media_type=EVENT_STREAM, headers=GOOD_HEADERS)


async def page(request: Request) -> Response:
    return HTMLResponse("<!doctype html><title>Hello</title>")


async def login(request: Request) -> Response:
    return HTMLResponse("<!doctype html><title>Please log in</title>")


async def guarded(request: Request) -> Response:
    return RedirectResponse("/login?next=/guarded", 302)


async def untyped(request: Request) -> Response:
    return Response("data: 1\n\n", media_type="text/plain")


async def error_as_json(request: Request) -> Response:
    return JSONResponse({"error": "no"}, media_type=EVENT_STREAM)


async def round_and_round(request: Request) -> Response:
    return RedirectResponse("/round", 302)


async def away(request: Request) -> Response:
    return RedirectResponse(request.query_params["to"], 307)


async def personal(request: Request) -> Response:
    """Lead on to an address that has the client's key in it."""
    return RedirectResponse(f"/of/{request.headers['x-key']}", 307)


async def counted(request: Request) -> Response:
    """Stream only if the whole body came."""
    if len(await request.body()) != int(request.query_params["bytes"]):
        return Response(status_code=400)
    return await raw_ticks(request)


async def echo(request: Request) -> Response:
    """Repeat what was asked, with what a terminal would obey."""
    asked = f"{request.headers.get('authorization')} {request.headers.get('x-key')} {request.url.query}"
    body = f"wrong {asked}\x1b[31m\n\ndata: {asked}\n\nid: {asked}\x9b\ndata: 2\n\n"
    return StreamingResponse(iter([body.encode()]), media_type=EVENT_STREAM, headers={"cache-control": asked})


async def status(request: Request) -> Response:
    code = int(request.path_params["code"])
    return Response(status_code=code, headers={"retry-after": "30"} if code in (429, 503) else {})


class Seats:
    """An endpoint with room for so many at once."""

    def __init__(self, seats: int) -> None:
        self.free = seats

    async def sit(self, request: Request) -> Response:
        if not self.free:
            return Response(status_code=503)
        self.free -= 1
        return StreamingResponse(self._body(), media_type=EVENT_STREAM, headers=GOOD_HEADERS)

    async def _body(self) -> AsyncIterator[bytes]:
        try:
            while True:
                yield b"data: 1\n\n"
                await asyncio.sleep(TICK)
        finally:
            self.free += 1


fast = fastapi.FastAPI()


@fast.get("/ticks", response_class=fastapi.sse.EventSourceResponse)
async def fastapi_ticks() -> AsyncIterator[fastapi.sse.ServerSentEvent]:
    while True:
        yield fastapi.sse.ServerSentEvent(data="tick")
        await asyncio.sleep(TICK)


WRONG: dict[str, bytes] = {
    "a field within a field": b"data: data: 1\n\n",
    "a frame as JSON": b'data: "data: 1\\n\\n"\n\n',
    "no blank line at all": b"data: 1\ndata: 2\ndata: 3\n",
    "no blank line at the end": b"data: 1\n\ndata: 2\n",
    "no blank line between": b"id: 1\ndata: 1\nid: 2\ndata: 2\n\n",
    "documents in one event": b'data: {"n": 1}\ndata: {"n": 2}\n\n',
    "a capital": b"data: 1\n\nData: 2\n\n",
    "a space before": b"data: 1\n\n data: 2\n\n",
    "a space behind": b"data: 1\n\nevent : tick\ndata: 2\n\n",
    "an unknown field": b"data: 1\nname: x\n\n",
    "a text of two lines": b"data: one\ntwo, and three\n\n",
    "a byte order mark": b"data: 1\n\n\xef\xbb\xbfdata: 2\n\n",
    "a NUL": b"id: a\0b\ndata: 1\n\n",
    "words for retry": b"retry: 3 s\ndata: 1\n\n",
    "latin-1": b"data: caf\xe9\n\n",
    "no data": b"event: ping\n\ndata: 1\n\n",
    "a written line end": b"data: 1\\n\\n\n\n",
    "Python": b"data: {'n': 1}\n\n",
    "mixed ends": b"data: 1\r\n\r\ndata: 2\n\n",
    "CR alone": b"data: 1\r\rdata: 2\r\r",
    "HTML": b"<!doctype html><h1>Error</h1>\n\n",
    "JSON": b'{"error": "no"}\n\n',
    "a huge line": b"data: " + b"x" * 1_100_000 + b"\n\n",
}
"""Bodies that are framed wrongly, each in one way."""


def compressing(inner: Any, *, flush: bool = False, ask: bool = True) -> Any:
    """Return `inner` behind a middleware that compresses every response: as careless ones do."""

    async def compressed(scope: Any, receive: Any, send: Any) -> None:
        accepted = dict(scope["headers"]).get(b"accept-encoding", b"")
        if ask and b"gzip" not in accepted:
            await inner(scope, receive, send)
            return
        compressor = zlib.compressobj(wbits=31)

        async def send_compressed(message: Any) -> None:
            if message["type"] == "http.response.start":
                headers = [*message["headers"], (b"content-encoding", b"gzip")]
                await send({**message, "headers": headers})
                return
            body = compressor.compress(message.get("body", b""))
            if flush:
                body += compressor.flush(zlib.Z_SYNC_FLUSH)
            if not message.get("more_body"):
                body += compressor.flush()
            await send({**message, "body": body})

        await inner(scope, receive, send_compressed)

    return compressed


def app() -> Starlette:
    """Return the application with all of them."""
    routes = [
        Route("/unbroken", unbroken_ticks),
        Route("/sse-starlette", sse_starlette_ticks),
        Route("/raw", raw_ticks),
        Route("/large", large_ticks),
        Route("/timed", timed_ticks),
        Route("/over", replaying_from_the_start),
        Route("/live", live_only),
        Route("/gap", telling_the_gap),
        Route("/failing", failing),
        Route("/silent", silent),
        Route("/mute", mute),
        Route("/beating/{form}", beating),
        Route("/bursty", bursty),
        Route("/flooding", flooding),
        Route("/page", page),
        Route("/login", login),
        Route("/guarded", guarded, methods=["GET", "POST"]),
        Route("/untyped", untyped),
        Route("/json", error_as_json),
        Route("/round", round_and_round),
        Route("/away", away, methods=["GET", "POST"]),
        Route("/personal", personal),
        Route("/of/{key}", raw_ticks),
        Route("/counted", counted, methods=["POST"]),
        Route("/echo", echo),
        Route("/status/{code}", status),
        Route("/seats", Seats(2).sit, methods=["GET"]),
        Route("/post", raw_ticks, methods=["POST"]),
        Route("/finite", stream_of(b"data: 1\n\n", b"event: done\ndata:\n\n")),
        Route("/at-once", stream_of(b"data: 1\n\n" * 5)),
        *(Route(f"/wrong/{number}", stream_of(body)) for number, body in enumerate(WRONG.values())),
        Mount("/fastapi", fast),
    ]
    return Starlette(routes=routes)
