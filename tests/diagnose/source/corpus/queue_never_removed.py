"""Notifications: every visit leaves a queue behind."""

import asyncio

from fastapi import FastAPI
from sse_starlette.sse import EventSourceResponse

app = FastAPI()
subscribers: list[asyncio.Queue] = []


async def publish(message: str) -> None:
    for queue in subscribers:
        queue.put_nowait(message)


async def notifications():
    queue: asyncio.Queue = asyncio.Queue(maxsize=100)
    subscribers.append(queue)  # expect: SSE008
    await publish("somebody came")
    while True:
        message = await queue.get()
        yield {"event": "notification", "data": message}


@app.get("/stream")
async def stream():
    return EventSourceResponse(notifications())
