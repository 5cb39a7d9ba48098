"""Subscribers in a module, and one process."""

import asyncio

import uvicorn
from fastapi import FastAPI
from sse_starlette.sse import EventSourceResponse

app = FastAPI()
subscribers: set[asyncio.Queue] = set()


async def events():
    queue: asyncio.Queue = asyncio.Queue(maxsize=100)
    subscribers.add(queue)
    queue.put_nowait("hello")
    try:
        while True:
            yield {"data": await queue.get()}
    finally:
        subscribers.discard(queue)


@app.get("/stream")
async def stream():
    return EventSourceResponse(events())


if __name__ == "__main__":
    uvicorn.run(app, workers=1)
