"""Feeds of numbers, which a reader resumes by its last event ID: of a hub, and of a server that does it by itself."""

from __future__ import annotations

import asyncio
import random
import socket
import sys
import threading
import zlib
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response, StreamingResponse
from starlette.routing import Route

from unbroken.hub import Hub
from unbroken.logs import Retention

__all__ = ["Feeds", "Plan", "text"]


def text(number: int) -> str:
    """Return the data of an event: with characters of two, three and four bytes, for cuts to fall into."""
    return f"{number} é€𝄞 and some more of it"


@dataclass(slots=True, kw_only=True)
class Plan:
    """What one feed does, besides being read through."""

    total: int
    """How many events it has, numbered from 1."""
    rng: random.Random
    grows: bool = False
    """Whether `total` is to be raised, and readers wait for that."""
    repeats: int = 0
    """How many events that the reader has it gets once more after each reconnection."""
    length: int | None = None
    """About how many events one body has before it ends in good order; None for as many as there are."""
    refuses: bool = False
    """Whether every second request is answered with 503, and to be made again at once."""
    redirects: str = "never"
    """`once` to another place at each connection, or into a `loop` at every third."""
    compresses: bool = False
    """Whether it compresses, though the client did not ask for it."""
    charset: str = "utf-8"
    """What it says to be; it is UTF-8."""
    requests: int = 0
    positions: list[str] = field(default_factory=list)
    """What the ids of the events have to be."""


class Feeds:
    """An application with a feed for each path, made by `add`."""

    def __init__(self) -> None:
        self.hub = Hub("memory://", retention=Retention(max_events=100_000))
        self._plans: dict[str, Plan] = {}
        self._publishing: dict[str, asyncio.Task[None]] = {}
        routes = [
            Route("/trim/{topic:path}", self._trim),
            Route("/{kind}/{name}", self._front),
            Route("/{kind}/{name}/moved", self._serve),
            Route("/{kind}/{name}/loop", lambda request: RedirectResponse(request.url.path)),
        ]
        self.app = Starlette(routes=routes, lifespan=self.hub.lifespan)

    def add(self, kind: str, plan: Plan) -> str:
        """Return the path of a new feed: of a `hub`, or `own`."""
        path = f"/{kind}/{len(self._plans)}"
        self._plans[path] = plan
        return path

    async def _trim(self, request: Request) -> Response:
        """Let a hub's feed forget all but its newest ten events."""
        return JSONResponse(await self.hub.trim(f"/{request.path_params['topic']}", Retention(max_events=10)))

    async def _front(self, request: Request) -> Response:
        plan = self._plans[request.url.path]
        plan.requests += 1
        if plan.refuses and plan.requests % 2:
            return Response(status_code=503, headers={"Retry-After": "0"})
        if plan.redirects == "loop" and plan.requests % 3 == 0:
            return RedirectResponse(f"{request.url.path}/loop")
        if plan.redirects == "once":
            return RedirectResponse(f"{request.url.path}/moved")
        return await self._serve(request)

    async def _serve(self, request: Request) -> Response:
        path = request.url.path.removesuffix("/moved")
        plan = self._plans[path]
        if request.path_params["kind"] == "hub":
            self._publish(path, plan)
            return self.hub.response(request, path, public=True, after="earliest")
        return own_answer(request, plan)

    def _publish(self, topic: str, plan: Plan) -> None:
        if topic not in self._publishing:
            self._publishing[topic] = asyncio.create_task(self._publish_all(topic, plan))

    async def _publish_all(self, topic: str, plan: Plan) -> None:
        for number in range(1, plan.total + 1):
            position = await self.hub.publish(topic, text(number), close=number == plan.total)
            plan.positions.append(str(position))
            # The first half is history for a reader, and what follows comes as it reads.
            if number > plan.total // 2 and number % 50 == 0:
                await asyncio.sleep(0.001)


def own_answer(request: Request, plan: Plan) -> Response:
    """Go on behind the last event ID, or some events before it; 204 where there is nothing behind it."""
    seen = int(request.headers.get("last-event-id", "0"))
    if seen == plan.total and not plan.grows:
        return Response(status_code=204)
    headers = {"Content-Type": f"text/event-stream; charset={plan.charset}"}
    body = own_body(max(0, seen - plan.repeats), plan)
    if plan.compresses:
        headers["Content-Encoding"] = "gzip"
        body = compressed(body)
    return StreamingResponse(body, headers=headers)


async def own_body(seen: int, plan: Plan) -> AsyncIterator[bytes]:
    """Yield some events at a time."""
    left = sys.maxsize if plan.length is None else plan.rng.randint(1, 2 * plan.length)
    while left and (seen < plan.total or plan.grows):
        count = min(plan.rng.randint(1, 20), left, plan.total - seen)
        if count:
            numbers = range(seen + 1, seen + count + 1)
            yield "".join(f"id: {number}\ndata: {text(number)}\n\n" for number in numbers).encode()
        seen, left = seen + count, left - count
        await asyncio.sleep(0 if count else 0.005)


async def compressed(body: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """Compress as a good hop does: what came in has left before the next is waited for."""
    compressor = zlib.compressobj(wbits=31)
    async for piece in body:
        yield compressor.compress(piece) + compressor.flush(zlib.Z_SYNC_FLUSH)
    yield compressor.flush()


@contextmanager
def serving(feeds: Feeds) -> Iterator[int]:
    """Serve on a free port, in a thread, by a real uvicorn."""
    with socket.create_server(("127.0.0.1", 0), backlog=128) as listener:
        config = uvicorn.Config(feeds.app, log_level="critical", ws="none", timeout_graceful_shutdown=1)
        server = uvicorn.Server(config)
        thread = threading.Thread(target=server.run, args=([listener],), name="uvicorn")
        thread.start()
        try:
            yield int(listener.getsockname()[1])
        finally:
            server.should_exit = True
            thread.join()
