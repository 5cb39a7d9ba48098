"""Frames written by hand, given to a response that writes them itself."""

import asyncio

from fastapi import FastAPI
from sse_starlette.sse import EventSourceResponse

app = FastAPI()


async def numbers():
    for number in range(3):
        yield f"data: {number}\n\n"  # expect: SSE018
        await asyncio.sleep(0.01)


@app.get("/stream")
async def stream():
    return EventSourceResponse(numbers())
