"""A stream that says it is compressed."""

import asyncio
import gzip

from fastapi import FastAPI
from fastapi.responses import StreamingResponse

app = FastAPI()


async def numbers():
    for number in range(3):
        yield gzip.compress(f"data: {number}\n\n".encode())
        await asyncio.sleep(0.01)


@app.get("/stream")
async def stream():
    return StreamingResponse(
        numbers(),
        media_type="text/event-stream",
        headers={
            "Cache-Control": "no-store",
            "X-Accel-Buffering": "no",
            "Content-Encoding": "gzip",  # expect: SSE015
        },
    )
