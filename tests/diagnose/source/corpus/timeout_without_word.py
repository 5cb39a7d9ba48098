"""A queue with a timeout, after which nothing is said: the silence only has rounds."""

import asyncio
import json

from fastapi import FastAPI, Request
from fastapi.responses import StreamingResponse

app = FastAPI()
HEADERS = {"Cache-Control": "no-cache", "X-Accel-Buffering": "no"}
updates: asyncio.Queue = asyncio.Queue(maxsize=10)


async def feed(request: Request):
    yield f"data: {json.dumps('ready')}\n\n"
    while True:
        if await request.is_disconnected():
            return
        try:
            update = await asyncio.wait_for(updates.get(), timeout=0.5)
        except asyncio.TimeoutError:
            continue
        yield f"data: {json.dumps(update)}\n\n"


@app.get("/stream")
async def stream(request: Request):
    return StreamingResponse(feed(request), media_type="text/event-stream", headers=HEADERS)  # expect: SSE002, SSE017
