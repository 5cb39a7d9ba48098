"""Findings that somebody has looked at and excused."""

import asyncio

from fastapi import FastAPI
from fastapi.responses import StreamingResponse

app = FastAPI()


async def ticks():
    number = 0
    while True:
        yield f"data: {number}\n\n"
        number += 1
        await asyncio.sleep(0.02)


@app.get("/stream")
async def stream():
    return StreamingResponse(ticks(), media_type="text/event-stream")  # noqa: SSE012, SSE017 - behind our own proxy
