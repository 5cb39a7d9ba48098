"""A greeting without a field, and a frame whose second line has none."""

import asyncio

from fastapi import FastAPI
from fastapi.responses import StreamingResponse

app = FastAPI()
HEADERS = {"Cache-Control": "no-cache", "X-Accel-Buffering": "no"}


async def lines():
    yield "connected\n\n"  # expect: SSE018
    await asyncio.sleep(0.01)
    yield "data: first\nsecond\n\n"  # expect: SSE018


@app.get("/stream")
async def stream():
    return StreamingResponse(lines(), media_type="text/event-stream", headers=HEADERS)
