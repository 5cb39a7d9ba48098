"""Subscribers in a module, and four processes of it."""

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


@app.post("/publish")
async def publish(text: str):
    for queue in subscribers:
        await queue.put(text)


if __name__ == "__main__":
    uvicorn.run("app:app", workers=4)  # expect: SSE020
