"""Two sources merged in a task group, with the `yield` inside of it."""

import asyncio

from fastapi import FastAPI
from sse_starlette.sse import EventSourceResponse

app = FastAPI()


async def source(name: str, queue: asyncio.Queue):
    for number in range(3):
        await queue.put(f"{name} {number}")


async def merged():
    queue: asyncio.Queue = asyncio.Queue(maxsize=4)
    async with asyncio.TaskGroup() as group:  # expect: SSE016
        group.create_task(source("a", queue))
        group.create_task(source("b", queue))
        for _ in range(6):
            yield {"data": await queue.get()}


@app.get("/stream")
async def stream():
    return EventSourceResponse(merged())
