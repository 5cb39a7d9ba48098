"""`Connection` set on the response, and `Transfer-Encoding` in a dictionary of the module."""

import asyncio

from fastapi import FastAPI
from fastapi.responses import StreamingResponse

app = FastAPI()
BASE = {"Cache-Control": "no-cache", "X-Accel-Buffering": "no"}


async def numbers():
    for number in range(3):
        yield f"data: {number}\n\n"
        await asyncio.sleep(0.01)


@app.get("/stream")
async def stream():
    response = StreamingResponse(numbers(), media_type="text/event-stream", headers={**BASE})
    response.headers["Connection"] = "keep-alive"  # expect: SSE013
    return response
