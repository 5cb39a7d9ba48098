"""A `status` that people write: by its name it is taken for a word."""

import asyncio

from fastapi import FastAPI
from fastapi.responses import StreamingResponse

app = FastAPI()
HEADERS = {"Cache-Control": "no-cache", "X-Accel-Buffering": "no"}
PEOPLE = [{"name": "ada", "status": "away"}]


async def statuses():
    for person in PEOPLE:
        yield f"data: {person['status']}\n\n"  # missed: SSE011
        await asyncio.sleep(0.01)


@app.post("/status")
async def change(status: str):
    PEOPLE[0]["status"] = status


@app.get("/stream")
async def stream():
    return StreamingResponse(statuses(), media_type="text/event-stream", headers=HEADERS)
