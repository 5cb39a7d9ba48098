"""Litestar's Channels, its subscribers read by its own `ServerSentEvent`."""

from __future__ import annotations

import socket
from collections.abc import AsyncIterator
from typing import Any

from litestar import Litestar, Request, get, post
from litestar.channels import ChannelsPlugin
from litestar.channels.backends.memory import MemoryChannelsBackend
from litestar.response import ServerSentEvent

from benchmarks.fanout.apps.fastapi import run

__all__ = ["channels"]

_CHANNEL = "bench"
_plugin = ChannelsPlugin(MemoryChannelsBackend(history=1), channels=[_CHANNEL])
_subscribers: set[object] = set()


async def _texts(history: int) -> AsyncIterator[str]:
    async with _plugin.start_subscription([_CHANNEL], history=history) as subscriber:
        _subscribers.add(subscriber)
        try:
            async for text in subscriber.iter_events():
                yield text.decode()
        finally:
            _subscribers.discard(subscriber)


@get("/events")
async def _events() -> ServerSentEvent:
    return ServerSentEvent(_texts(0))


@get("/first")
async def _first() -> ServerSentEvent:
    return ServerSentEvent(_texts(1))


@post("/publish")
async def _publish(request: Request[Any, Any, Any]) -> None:
    for line in (await request.body()).decode().split("\n"):
        _plugin.publish(line, _CHANNEL)


@get("/count")
async def _count() -> dict[str, int]:
    return {"subscribers": len(_subscribers)}


def channels(_: float, listener: socket.socket) -> None:
    run(Litestar([_events, _first, _publish, _count], plugins=[_plugin]), listener)
