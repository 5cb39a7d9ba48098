"""Headers copied from an answer on the web, with one that HTTP/2 forbids."""

import asyncio
import json

from fastapi import FastAPI
from fastapi.responses import StreamingResponse

app = FastAPI()


async def progress():
    for percent in range(0, 101, 25):
        yield f"data: {json.dumps({'percent': percent})}\n\n"
        await asyncio.sleep(0.01)


@app.get("/stream")
async def stream():
    return StreamingResponse(
        progress(),
        media_type="text/event-stream",
        headers={
            "Cache-Control": "no-cache",
            "Connection": "keep-alive",  # expect: SSE013
            "X-Accel-Buffering": "no",
        },
    )
