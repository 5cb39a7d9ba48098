"""Streams as people write them, and what is wrong with them: `unbroken check examples/broken` says it."""

import asyncio
import json

from fastapi import FastAPI
from fastapi.responses import StreamingResponse

app = FastAPI()
listeners = []


@app.post("/notes")
async def add_note(text: str):
    for queue in listeners:
        queue.put_nowait(text)


@app.get("/notes")
async def get_notes():
    queue = asyncio.Queue()
    listeners.append(queue)

    async def notes():
        while True:
            try:
                text = await queue.get()
                yield f"data: {text}\n\n"
            except Exception:
                continue

    return StreamingResponse(notes(), media_type="text/event-stream")


@app.get("/progress")
async def get_progress():
    async def progress():
        for percent in range(0, 101, 10):
            yield f"event: progress\ndata: {json.dumps({'percent': percent})}\n\n"
            await asyncio.sleep(0.1)

    return StreamingResponse(progress(), media_type="text/event-stream", headers={"Connection": "keep-alive"})
