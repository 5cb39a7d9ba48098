"""One way in a process of its own, on uvicorn as it comes: `python -m benchmarks.runs.server WAY URL`."""

from __future__ import annotations

import signal
import socket
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial

import uvicorn
from fastapi import FastAPI, Request, Response

from benchmarks.runs.tokens import Gates, Pace, tokens
from benchmarks.runs.ways import WAYS
from benchmarks.server import LIFETIME, SERVER_CORE, Process, pin

__all__ = ["Server", "application"]


class Server(Process):
    """The server of a way."""

    def __init__(self, way: str, url: str) -> None:
        super().__init__(way, [sys.executable, "-m", "benchmarks.runs.server", way, url])


def application(way: str, url: str) -> FastAPI:
    """Build the application: `/stream/NAME` with a pace, and `/begin` and `/end` for all streams that are open."""

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        async with WAYS[way].opened(url) as respond:
            app.state.respond, app.state.gates = respond, Gates()
            yield

    app = FastAPI(lifespan=lifespan)

    @app.get("/stream/{name}")
    async def stream(request: Request, name: str, tokens_: int, rate: float, phase: float) -> Response:
        source = partial(tokens, app.state.gates, Pace(tokens_, rate, phase))
        response: Response = await app.state.respond(request, name, source)
        return response

    @app.get("/begin")
    async def begin() -> None:
        app.state.gates.begun.set()

    @app.get("/end")
    async def end() -> None:
        app.state.gates.ended.set()

    return app


def main(way: str, url: str) -> None:
    """Serve on a free port, and print the port; connections wait until the application has started."""
    pin(SERVER_CORE)
    signal.alarm(LIFETIME)
    config = uvicorn.Config(
        application(way, url), http="httptools", loop="uvloop", access_log=False, log_level="warning"
    )
    with socket.create_server(("127.0.0.1", 0), backlog=2048) as listener:
        print(listener.getsockname()[1], flush=True)
        uvicorn.Server(config).run(sockets=[listener])


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2])
