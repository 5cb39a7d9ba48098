"""Frames in several yields, with CRLF, in bytes, with comments: all of it is the standard's."""

import asyncio

from fastapi import FastAPI
from fastapi.responses import StreamingResponse

app = FastAPI()
HEADERS = {"Cache-Control": "no-cache", "X-Accel-Buffering": "no"}


async def frames():
    yield ": welcome\n\n"
    for number in range(3):
        yield "event: number\n"
        yield f"id: {number}\n"
        yield f"data: {number}\r\n\r\n"
        await asyncio.sleep(0.01)
    yield b"retry: 3000\n\n"
    yield "data: one\ndata: two\n\n".encode()


@app.get("/stream")
async def stream():
    return StreamingResponse(frames(), media_type="text/event-stream", headers=HEADERS)
