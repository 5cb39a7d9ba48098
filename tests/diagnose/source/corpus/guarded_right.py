"""A plain response behind the guard, which sends heartbeats, headers and the end."""

import asyncio
import json

from fastapi import FastAPI
from fastapi.responses import StreamingResponse
from unbroken import EventStreamGuard

app = FastAPI()
app.add_middleware(EventStreamGuard)
updates: asyncio.Queue = asyncio.Queue(maxsize=10)


async def feed():
    yield "event: ready\ndata: 1\n\n"
    while True:
        update = await updates.get()
        yield f"data: {json.dumps(update)}\n\n"


@app.get("/stream")
async def stream():
    return StreamingResponse(feed(), media_type="text/event-stream")
