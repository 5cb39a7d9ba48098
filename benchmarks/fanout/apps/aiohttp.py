from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable, Callable

import uvloop
from aiohttp import web
from aiohttp_sse import sse_response

from benchmarks.fanout.apps.queues import Queues

__all__ = ["serve"]

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


def _application(heartbeat: float) -> web.Application:
    queues = Queues()

    def stream(newest: bool) -> Handler:
        async def events(request: web.Request) -> web.StreamResponse:
            async with sse_response(request, ping_interval=heartbeat) as response:
                async for text in queues.subscribe(newest=newest):
                    await response.send(text)
            return response

        return events

    async def publish(request: web.Request) -> web.Response:
        for line in (await request.text()).split("\n"):
            await queues.publish(line)
        return web.Response(status=204)

    async def count(_: web.Request) -> web.Response:
        return web.json_response({"subscribers": len(queues)})

    app = web.Application(client_max_size=1 << 24)
    app.add_routes([web.get("/events", stream(newest=False)), web.get("/first", stream(newest=True))])
    app.add_routes([web.get("/count", count), web.post("/publish", publish)])
    return app


async def _run(heartbeat: float, listener: socket.socket) -> None:
    # Without cancellation the handlers of clients that are gone wait for their next event, forever.
    runner = web.AppRunner(_application(heartbeat), access_log=None, handler_cancellation=True)
    await runner.setup()
    await web.SockSite(runner, listener, backlog=4096).start()
    await asyncio.Event().wait()


def serve(heartbeat: float, listener: socket.socket) -> None:
    uvloop.run(_run(heartbeat, listener))
