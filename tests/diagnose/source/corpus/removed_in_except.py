"""Subscribers that are taken out when a cancellation is seen, but not when the generator is closed."""

import asyncio

from fastapi import FastAPI
from sse_starlette.sse import EventSourceResponse

app = FastAPI()
clients: set[asyncio.Queue] = set()


@app.get("/stream")
async def stream():
    queue: asyncio.Queue = asyncio.Queue(maxsize=10)
    clients.add(queue)  # expect: SSE008
    queue.put_nowait("hello")

    async def events():
        try:
            while True:
                yield {"data": await queue.get()}
        except asyncio.CancelledError:
            clients.remove(queue)
            raise

    return EventSourceResponse(events())
