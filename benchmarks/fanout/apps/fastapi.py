"""What the peers under a FastAPI route share: the publisher's routes, and uvicorn."""

from __future__ import annotations

import socket
from collections.abc import Awaitable, Callable
from typing import Any

import uvicorn
from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse, Response

__all__ = ["application", "run"]


def application(publish: Callable[[str], Awaitable[None]], subscribers: Callable[[], int], **options: Any) -> FastAPI:
    """Build an application that publishes and counts; a peer adds its streams."""
    app = FastAPI(**options)

    @app.post("/publish")
    async def post(request: Request) -> Response:
        for line in (await request.body()).decode().split("\n"):
            await publish(line)
        return Response(status_code=204)

    @app.get("/count")
    async def count() -> JSONResponse:
        return JSONResponse({"subscribers": subscribers()})

    return app


def run(app: Any, listener: socket.socket, http: Any = "httptools") -> None:
    """Serve an ASGI application as a careful operator would: the fast parser, the fast loop, no access log."""
    config = uvicorn.Config(app, http=http, loop="uvloop", access_log=False, log_level="warning")
    uvicorn.Server(config).run(sockets=[listener])
