"""Frames of an upstream, cut out of what has come by an inner loop that ends when there is no more."""

import asyncio

from fastapi import FastAPI
from fastapi.responses import StreamingResponse

app = FastAPI()


async def upstream():
    for piece in (b"data: 1\n\ndata", b": 2\n\n", b"data: 3\n\n"):
        await asyncio.sleep(0.01)
        yield piece


def take(buffer):
    frame, blank, rest = buffer.partition(b"\n\n")
    return (frame + blank, rest) if blank else (None, buffer)


async def frames():
    buffer = b""
    async for piece in upstream():
        buffer += piece
        while True:
            frame, buffer = take(buffer)
            if frame is None:
                break
            yield frame


@app.get("/stream")
async def stream():
    return StreamingResponse(
        frames(),
        media_type="text/event-stream",
        headers={"Cache-Control": "no-store", "X-Accel-Buffering": "no"},
    )
