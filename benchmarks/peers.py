"""The libraries compared: each with the item its users yield, under the same four routes of one FastAPI application."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any

from fastapi import FastAPI
from fastapi.responses import Response, StreamingResponse

__all__ = ["MARK", "PEERS", "REFERENCE", "Peer", "application", "available"]

MARK = b"~"
"""One per event and nowhere else: events are counted by it, whatever line ends and framing a peer writes."""

TEXT = "the quick brown fox jumps over the lazy dog, and the event arrives at the client in one piece; 100 b~"
FRAME = f"data: {TEXT}\n\n"

Workload = Callable[[int], AsyncIterator[str]]
Respond = Callable[[AsyncIterator[Any]], Response]


@dataclass(frozen=True, slots=True)
class Peer:
    """One way to answer with an event stream."""

    item: Any
    # None: the route itself is the generator, as fastapi.sse has it.
    respond: Respond | None
    route_options: dict[str, Any]


def _response(item: Any, respond: Respond) -> Peer:
    return Peer(item, respond, {})


def _starlette() -> Peer:
    return _response(FRAME.encode(), lambda content: StreamingResponse(content, media_type="text/event-stream"))


def _sse_starlette() -> Peer:
    from sse_starlette import EventSourceResponse

    return _response({"data": TEXT}, EventSourceResponse)


def _fastapi_sse() -> Peer:
    from fastapi.sse import EventSourceResponse

    return Peer(TEXT, None, {"response_class": EventSourceResponse})


def _unbroken() -> Peer:
    from unbroken import EventSourceResponse

    return _response(TEXT, EventSourceResponse)


def _unbroken_bytes() -> Peer:
    from unbroken import EventSourceResponse

    return _response(FRAME.encode(), EventSourceResponse)


def _unbroken_compat() -> Peer:
    from unbroken.compat.starlette import EventSourceResponse

    return _response(FRAME, EventSourceResponse)


REFERENCE = "unbroken"

PEERS: dict[str, Callable[[], Peer]] = {
    "unbroken": _unbroken,
    "unbroken, bytes": _unbroken_bytes,
    "unbroken.compat.starlette": _unbroken_compat,
    "StreamingResponse": _starlette,
    "sse-starlette": _sse_starlette,
    "fastapi.sse": _fastapi_sse,
}


def available() -> list[str]:
    """Name the peers that can run here: fastapi.sse is missing before FastAPI 0.135."""
    return [name for name in PEERS if name != "fastapi.sse" or find_spec("fastapi.sse")]


def _workloads(item: Any) -> dict[str, Workload]:
    """Build the generators; the item is ready, so that only the way to the wire is measured."""

    async def stream(events: int) -> AsyncIterator[str]:
        for _ in range(events):
            yield item

    async def sleep(events: int) -> AsyncIterator[str]:
        for _ in range(events):
            await asyncio.sleep(0)
            yield item

    async def queue(events: int) -> AsyncIterator[str]:
        # One place: the getter and the putter wait for each other at every single item.
        items: asyncio.Queue[Any] = asyncio.Queue(1)
        feeder = asyncio.create_task(_feed(items, item, events))
        for _ in range(events):
            yield await items.get()
        await feeder

    async def idle(events: int) -> AsyncIterator[str]:
        for _ in range(events):
            yield item
        nothing: asyncio.Queue[Any] = asyncio.Queue()
        yield await nothing.get()

    return {"stream": stream, "sleep": sleep, "queue": queue, "idle": idle}


async def _feed(items: asyncio.Queue[Any], item: Any, events: int) -> None:
    for _ in range(events):
        await items.put(item)


def application(name: str) -> FastAPI:
    """Build the application of one peer: `/stream`, `/sleep`, `/queue` and `/idle`, each with `?events=`."""
    peer = PEERS[name]()
    app = FastAPI()
    for path, workload in _workloads(peer.item).items():
        endpoint = workload if peer.respond is None else _endpoint(peer.respond, workload)
        app.get(f"/{path}", **peer.route_options)(endpoint)
    return app


def _endpoint(respond: Respond, workload: Workload) -> Callable[[int], Any]:
    async def endpoint(events: int) -> Any:
        return respond(workload(events))

    return endpoint
