"""A last event in the `finally`, where none may be sent any more."""

import asyncio

from fastapi import FastAPI
from sse_starlette.sse import EventSourceResponse

app = FastAPI()


async def progress():
    try:
        for percent in range(0, 101, 20):
            yield {"event": "progress", "data": str(percent)}
            await asyncio.sleep(0.01)
    finally:  # expect: SSE005
        yield {"event": "end", "data": "bye"}


@app.get("/stream")
async def stream():
    return EventSourceResponse(progress())
