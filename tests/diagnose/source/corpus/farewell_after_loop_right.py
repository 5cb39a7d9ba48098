"""A last event where it belongs, and only the cleanup in the `finally`."""

import asyncio

from fastapi import FastAPI
from sse_starlette.sse import EventSourceResponse

app = FastAPI()
running = 0


async def progress():
    global running
    running += 1
    try:
        for percent in range(0, 101, 20):
            yield {"event": "progress", "data": str(percent)}
            await asyncio.sleep(0.01)
        yield {"event": "end", "data": "bye"}
    finally:
        running -= 1


@app.get("/stream")
async def stream():
    return EventSourceResponse(progress())
