"""A timeout around the await alone, and a task group in a context manager."""

import asyncio
from contextlib import asynccontextmanager

from fastapi import FastAPI
from sse_starlette.sse import EventSourceResponse

app = FastAPI()


@asynccontextmanager
async def workers(queue: asyncio.Queue):
    async with asyncio.TaskGroup() as group:
        group.create_task(queue.put("done"))
        yield group


async def events():
    queue: asyncio.Queue = asyncio.Queue(maxsize=4)
    async with workers(queue):
        pass
    while True:
        try:
            async with asyncio.timeout(0.05):
                item = await queue.get()
        except TimeoutError:
            break
        yield {"data": item}


@app.get("/stream")
async def stream():
    return EventSourceResponse(events())
