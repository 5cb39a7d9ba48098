"""The libraries compared: each with the item its users yield, under the same four routes of one FastAPI application."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, replace
from importlib.util import find_spec
from typing import Any

from fastapi import FastAPI
from fastapi.responses import Response, StreamingResponse

__all__ = ["MARK", "NO_MIDDLEWARE", "PEERS", "REFERENCE", "WRAPPINGS", "Peer", "application", "available"]

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
    middleware: Any = None


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


def _guarded(peer: Callable[[], Peer]) -> Callable[[], Peer]:
    def guarded() -> Peer:
        from unbroken import EventStreamGuard

        return replace(peer(), middleware=EventStreamGuard)

    return guarded


class EmptyMiddleware:
    """The least that a middleware can be which looks at what is sent: what `EventStreamGuard` is compared with."""

    def __init__(self, app: Any) -> None:
        self.app = app

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        async def passing(message: Any) -> None:
            await send(message)

        await self.app(scope, receive, passing)


def _empty() -> Peer:
    return replace(_starlette(), middleware=EmptyMiddleware)


REFERENCE = "unbroken"

PEERS: dict[str, Callable[[], Peer]] = {
    "unbroken": _unbroken,
    "unbroken, bytes": _unbroken_bytes,
    "unbroken.compat.starlette": _unbroken_compat,
    "StreamingResponse": _starlette,
    "sse-starlette": _sse_starlette,
    "fastapi.sse": _fastapi_sse,
    "guard around StreamingResponse": _guarded(_starlette),
    "guard around sse-starlette": _guarded(_sse_starlette),
    "guard around fastapi.sse": _guarded(_fastapi_sse),
}

NO_MIDDLEWARE = "no middleware"

WRAPPINGS: dict[str, Callable[[], Peer]] = {
    NO_MIDDLEWARE: _starlette,
    "an empty middleware": _empty,
    "EventStreamGuard": _guarded(_starlette),
}
"""What an application can be wrapped in: compared where no event stream is asked for."""


def available() -> list[str]:
    """Name the peers that can run here: fastapi.sse is missing before FastAPI 0.135."""
    return [name for name in PEERS if not name.endswith("fastapi.sse") or find_spec("fastapi.sse")]


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
    """Build the application of one peer: `/stream`, `/sleep`, `/queue` and `/idle` with `?events=`, and `/plain`."""
    peer = (PEERS | WRAPPINGS)[name]()
    app = FastAPI()
    app.get("/plain")(_plain)
    if peer.middleware is not None:
        app.add_middleware(peer.middleware)
    for path, workload in _workloads(peer.item).items():
        endpoint = workload if peer.respond is None else _endpoint(peer.respond, workload)
        app.get(f"/{path}", **peer.route_options)(endpoint)
    return app


async def _plain() -> dict[str, str]:
    return {"text": TEXT}


def _endpoint(respond: Respond, workload: Workload) -> Callable[[int], Any]:
    async def endpoint(events: int) -> Any:
        return respond(workload(events))

    return endpoint
