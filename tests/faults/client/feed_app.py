"""Feeds of numbers for a server in a process of its own: each ends or goes on as its path says."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response, StreamingResponse
from starlette.routing import Route

__all__ = ["TOTAL", "app"]

TOTAL = 100
AT_ONCE = 10


async def numbers(seen: int, then: str) -> AsyncIterator[bytes]:
    """Yield the next numbers, and then end, or go on for the rest."""
    last = TOTAL if then == "goes-on" else min(TOTAL, seen + AT_ONCE)
    for number in range(seen + 1, last + 1):
        yield b"id: %d\ndata: %d\n\n" % (number, number)
        await asyncio.sleep(0.0005)


async def feed(request: Request) -> Response:
    """Go on behind the last event ID; 204 where there is nothing behind it."""
    seen = int(request.headers.get("last-event-id", "0"))
    if seen == TOTAL:
        return Response(status_code=204)
    return StreamingResponse(numbers(seen, request.path_params["then"]), media_type="text/event-stream")


app = Starlette(
    routes=[
        Route("/health", lambda _: PlainTextResponse("well")),
        Route("/{then}", feed),
    ]
)
