"""A response class of one's own, which brings its headers; the loop is still endless."""

import asyncio

from fastapi import FastAPI
from starlette.responses import StreamingResponse

app = FastAPI()


class SSEResponse(StreamingResponse):
    media_type = "text/event-stream"

    def init_headers(self, headers=None):
        super().init_headers({**(headers or {}), "Cache-Control": "no-store", "X-Accel-Buffering": "no"})


async def ticks():
    number = 0
    while True:
        yield f"data: {number}\n\n"
        number += 1
        await asyncio.sleep(0.02)


@app.get("/stream")
async def stream():
    return SSEResponse(ticks())  # expect: SSE017
