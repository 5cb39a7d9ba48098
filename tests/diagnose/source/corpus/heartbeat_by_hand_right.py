"""A queue that is waited for with a timeout, and a comment when nothing came."""

import asyncio
import json

from fastapi import FastAPI
from fastapi.responses import StreamingResponse

app = FastAPI()
HEADERS = {"Cache-Control": "no-cache", "X-Accel-Buffering": "no"}


async def work(queue: asyncio.Queue):
    for step in range(3):
        await queue.put({"step": step})
        await asyncio.sleep(0.01)
    await queue.put(None)


async def events():
    queue: asyncio.Queue = asyncio.Queue(maxsize=16)
    task = asyncio.create_task(work(queue))
    try:
        while True:
            try:
                item = await asyncio.wait_for(queue.get(), timeout=10)
            except asyncio.TimeoutError:
                yield ": keep-alive\n\n"
                continue
            if item is None:
                break
            yield f"data: {json.dumps(item)}\n\n"
    finally:
        task.cancel()


@app.get("/stream")
async def stream():
    return StreamingResponse(events(), media_type="text/event-stream", headers=HEADERS)
