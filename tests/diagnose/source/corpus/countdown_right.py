"""A countdown with all headers: finite, and never silent for long."""

import asyncio

from fastapi import FastAPI
from fastapi.responses import StreamingResponse

app = FastAPI()
HEADERS = {"Cache-Control": "no-cache", "X-Accel-Buffering": "no"}


async def countdown(start: int):
    for left in range(start, 0, -1):
        yield f"data: {left}\n\n"
        await asyncio.sleep(0.01)
    yield "event: done\ndata: 0\n\n"


@app.get("/stream")
async def stream(start: int = 3):
    return StreamingResponse(countdown(start), media_type="text/event-stream", headers=HEADERS)
