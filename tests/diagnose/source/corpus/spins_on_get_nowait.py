"""`get_nowait` and `continue`: a round without an await."""
# run: no, because it never gives the event loop back

import asyncio
import json

from fastapi import FastAPI
from fastapi.sse import EventSourceResponse

app = FastAPI()
queue: asyncio.Queue = asyncio.Queue(maxsize=10)


@app.get("/stream", response_class=EventSourceResponse)
async def drain():  # expect: SSE017
    while True:  # expect: SSE004
        try:
            item = queue.get_nowait()
        except asyncio.QueueEmpty:
            continue
        yield json.dumps(item)
