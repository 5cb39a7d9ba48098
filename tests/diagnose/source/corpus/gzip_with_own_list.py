"""GZip with a list of its own, which has no event streams."""

import asyncio

from fastapi import FastAPI
from sse_starlette.sse import EventSourceResponse
from starlette.middleware.gzip import GZipMiddleware

app = FastAPI()
app.add_middleware(GZipMiddleware, exclude_content_types=("image/png", "video/*"))  # expect: SSE015


async def numbers():
    for number in range(3):
        yield {"data": str(number)}
        await asyncio.sleep(0.01)


@app.get("/stream")
async def stream():
    return EventSourceResponse(numbers())
