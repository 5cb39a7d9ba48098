"""unbroken, with its heartbeat turned off and a queue that may stay empty."""

import asyncio

from fastapi import FastAPI
from unbroken import EventSourceResponse

app = FastAPI()


async def work(queue: asyncio.Queue):
    for step in range(3):
        await queue.put(f"step {step}")
    await queue.put(None)


async def events():
    queue: asyncio.Queue = asyncio.Queue(maxsize=16)
    task = asyncio.create_task(work(queue))
    try:
        while (item := await queue.get()) is not None:
            yield item
    finally:
        task.cancel()


@app.get("/stream")
async def stream():
    return EventSourceResponse(events(), heartbeat=None)  # expect: SSE002
