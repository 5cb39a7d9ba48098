"""Streams that other libraries make, and that raise when their client leaves."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import socket
import threading
import time
from collections.abc import AsyncIterator, Iterator
from typing import Any

from fastapi import FastAPI, Request
from fastapi.responses import PlainTextResponse, StreamingResponse
from fastapi.sse import EventSourceResponse
from starlette.concurrency import run_in_threadpool

app = FastAPI()

left = threading.Event()
"""Set by a client in this process once it has reset its connection."""


@app.get("/health", response_class=PlainTextResponse)
async def health() -> str:
    """Say that the server serves."""
    return "well"


asked_for: list[str] = []
"""An entry for each event that was asked of a producer."""


@app.get("/asked-for")
async def how_many() -> int:
    """Say how many events were asked of producers."""
    return len(asked_for)


@app.get("/ahead/{name}", response_class=EventSourceResponse)
async def ahead(name: str) -> AsyncIterator[str]:
    """A producer that is ahead of its client, if that does not read: no buffer takes many such events."""
    while True:
        asked_for.append(name)
        yield "x" * 4_000_000


@app.post("/body")
async def body(request: Request) -> StreamingResponse:
    """A stream that waits for the rest of the request's body."""

    async def events() -> AsyncIterator[str]:
        yield "data: now the body\n\n"
        await request.body()

    return StreamingResponse(events(), media_type="text/event-stream")


@app.post("/upload")
async def upload(request: Request) -> str:
    """No stream: it reads the body, and answers."""
    with contextlib.suppress(UnicodeError):
        return (await request.body()).decode()
    return ""


def _resetting_service() -> socket.socket:
    """A connection to another service, which resets it."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        own = socket.create_connection(listener.getsockname())
        other, _ = listener.accept()
        other.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        other.close()
    return own


@app.get("/upstream")
async def upstream() -> StreamingResponse:
    """A stream whose own upstream is reset while its client is there."""

    async def events() -> AsyncIterator[str]:
        yield "data: asking\n\n"
        with _resetting_service() as service:
            reader, writer = await asyncio.open_connection(sock=service)
            try:
                yield "data: " + (await reader.readline()).decode()
            finally:
                writer.close()

    return StreamingResponse(events(), media_type="text/event-stream")


@app.get("/upstream-in-a-thread")
async def upstream_in_a_thread() -> StreamingResponse:
    """The same with a blocking socket, of which no Python frame is left in the traceback."""

    async def events() -> AsyncIterator[str]:
        yield "data: asking\n\n"
        with _resetting_service() as service:
            yield "data: " + (await run_in_threadpool(service.recv, 10)).decode()

    return StreamingResponse(events(), media_type="text/event-stream")


@app.get("/busy")
async def busy() -> StreamingResponse:
    """A stream that lets nobody else run, so that it is not told of its client's leaving."""

    async def events() -> AsyncIterator[str]:
        yield "data: leave\n\n"
        left.wait(20)
        for _ in range(50):
            yield "data: still there?\n\n"
            time.sleep(0.001)

    return StreamingResponse(events(), media_type="text/event-stream")


@app.get("/ticks")
async def ticks() -> StreamingResponse:
    """A stream that goes on."""

    async def events() -> AsyncIterator[str]:
        while True:
            yield "data: tick\n\n"
            await asyncio.sleep(0.01)

    return StreamingResponse(events(), media_type="text/event-stream")


@app.get("/vanish")
async def vanish() -> StreamingResponse:
    """A stream on hypercorn whose connection fails as it does when its client acknowledges nothing any more."""

    def transports() -> Iterator[Any]:
        for task in asyncio.all_tasks():
            serving: Any = task.get_coro()
            if serving.__name__ == "_server_callback":
                yield serving.cr_frame.f_locals["writer"].transport

    async def events() -> AsyncIterator[str]:
        yield "data: vanish\n\n"
        for transport in transports():
            # What asyncio itself calls when the kernel has given up.
            transport._fatal_error(TimeoutError(errno.ETIMEDOUT, "Connection timed out"))
        await asyncio.sleep(60)

    return StreamingResponse(events(), media_type="text/event-stream")
