"""A dashboard that is refreshed once a minute: proxies do not wait that long."""

import asyncio
import random

from fastapi import FastAPI
from fastapi.responses import StreamingResponse

app = FastAPI()
REFRESH = 60


async def metrics():
    for _ in range(1440):
        yield f"data: {random.random()}\n\n"
        await asyncio.sleep(REFRESH)


@app.get("/stream")
async def dashboard():
    headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
    return StreamingResponse(metrics(), headers=headers, media_type="text/event-stream")  # expect: SSE002
