"""`get_nowait` with a sleep while there is nothing."""

import asyncio
import json

from fastapi import FastAPI
from sse_starlette.sse import EventSourceResponse

app = FastAPI()
queue: asyncio.Queue = asyncio.Queue(maxsize=10)


async def drain():
    yield {"event": "ready", "data": ""}
    while True:
        try:
            item = queue.get_nowait()
        except asyncio.QueueEmpty:
            await asyncio.sleep(0.05)
            continue
        yield {"data": json.dumps(item)}
        await asyncio.sleep(0)


@app.get("/stream")
async def stream():
    return EventSourceResponse(drain())
