"""A stream that is a class with `__anext__`: what it does is not looked at."""

import asyncio
import json

from fastapi import FastAPI
from fastapi.responses import StreamingResponse

app = FastAPI()
HEADERS = {"Cache-Control": "no-cache", "X-Accel-Buffering": "no"}


class Updates:
    def __init__(self):
        self.queue: asyncio.Queue = asyncio.Queue(maxsize=4)
        self.queue.put_nowait("hello")

    def __aiter__(self):
        return self

    async def __anext__(self):
        return f"data: {json.dumps(await self.queue.get())}\n\n"


@app.get("/stream")
async def stream():
    return StreamingResponse(Updates(), media_type="text/event-stream", headers=HEADERS)  # missed: SSE002, SSE017
