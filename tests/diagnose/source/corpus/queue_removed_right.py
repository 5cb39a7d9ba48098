"""Notifications with an end for each subscription."""

import asyncio

from fastapi import FastAPI
from sse_starlette.sse import EventSourceResponse

app = FastAPI()
subscribers: set[asyncio.Queue] = set()


async def publish(message: str) -> None:
    for queue in subscribers:
        if not queue.full():
            queue.put_nowait(message)


async def notifications():
    queue: asyncio.Queue = asyncio.Queue(maxsize=100)
    subscribers.add(queue)
    try:
        await publish("somebody came")
        while True:
            message = await queue.get()
            yield {"event": "notification", "data": message}
    finally:
        subscribers.discard(queue)


@app.get("/stream")
async def stream():
    return EventSourceResponse(notifications())
