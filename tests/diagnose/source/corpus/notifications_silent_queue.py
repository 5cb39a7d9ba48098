"""Notifications over a plain response: nothing is sent until something happens."""

import asyncio
import json

from fastapi import FastAPI
from fastapi.responses import StreamingResponse

app = FastAPI()
SSE_HEADERS = {"Cache-Control": "no-cache", "X-Accel-Buffering": "no"}
listeners: dict[int, asyncio.Queue] = {}


@app.get("/stream")
async def notifications(user_id: int = 1):
    async def listen():
        queue: asyncio.Queue = asyncio.Queue(maxsize=50)
        listeners[user_id] = queue
        queue.put_nowait({"hello": user_id})
        try:
            while True:
                event = await queue.get()
                yield f"data: {json.dumps(event)}\n\n"
        finally:
            listeners.pop(user_id, None)

    return StreamingResponse(listen(), media_type="text/event-stream", headers=SSE_HEADERS)  # expect: SSE002, SSE017
