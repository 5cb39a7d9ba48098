"""Brotli around everything, streams included."""
# run: no, because brotli-asgi is not installed

import asyncio

from brotli_asgi import BrotliMiddleware
from fastapi import FastAPI
from sse_starlette.sse import EventSourceResponse

app = FastAPI()
app.add_middleware(BrotliMiddleware, quality=4)  # expect: SSE015


async def numbers():
    for number in range(3):
        yield {"data": str(number)}
        await asyncio.sleep(0.01)


@app.get("/stream")
async def stream():
    return EventSourceResponse(numbers())
