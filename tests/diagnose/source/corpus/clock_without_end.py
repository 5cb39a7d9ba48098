"""The current time, every moment, until the client leaves."""

import asyncio
from datetime import datetime

from fastapi import FastAPI, Request
from fastapi.responses import StreamingResponse

app = FastAPI()


async def clock(request: Request):
    while True:
        if await request.is_disconnected():
            break
        yield f"data: {datetime.now().isoformat()}\n\n"
        await asyncio.sleep(0.02)


@app.get("/stream")
async def stream(request: Request):
    return StreamingResponse(  # expect: SSE012, SSE017
        clock(request),
        media_type="text/event-stream",
    )
