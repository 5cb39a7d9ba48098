"""Ours: a topic in memory, under a FastAPI route like the others."""

from __future__ import annotations

import socket
from typing import Any

from fastapi import Request
from fastapi.responses import Response

from benchmarks.fanout.apps.fastapi import application, run
from unbroken import Hub

__all__ = ["protocol", "stock"]

_TOPIC = "bench"
_PROTOCOL = "unbroken.servers.uvicorn:EventStreamProtocol"


def stock(heartbeat: float, listener: socket.socket) -> None:
    run(_application(heartbeat), listener)


def protocol(heartbeat: float, listener: socket.socket) -> None:
    run(_application(heartbeat), listener, http=_PROTOCOL)


def _application(heartbeat: float) -> Any:
    hub = Hub("memory://")

    async def publish(text: str) -> None:
        await hub.publish(_TOPIC, text)

    app = application(publish, lambda: hub.stats().subscribers, lifespan=hub.lifespan)

    @app.get("/events")
    async def events(request: Request) -> Response:
        return hub.response(request, _TOPIC, public=True, heartbeat=heartbeat)

    @app.get("/first")
    async def first(request: Request) -> Response:
        return hub.response(request, _TOPIC, public=True, heartbeat=heartbeat, backlog=1)

    return app
