"""Subscribers in a weak set: what nobody listens to any more is not there any more."""

import asyncio
import weakref

from fastapi import FastAPI
from sse_starlette.sse import EventSourceResponse

app = FastAPI()
subscribers = weakref.WeakSet()


async def events():
    queue = asyncio.Queue(maxsize=10)
    subscribers.add(queue)
    queue.put_nowait("hello")
    while True:
        yield {"data": await queue.get()}


@app.get("/stream")
async def stream():
    return EventSourceResponse(events())
