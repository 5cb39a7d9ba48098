"""A chat whose messages come from people, who type line breaks."""

import asyncio

from fastapi import FastAPI
from fastapi.responses import StreamingResponse

app = FastAPI()
history = ["hello", "and\nwelcome"]


async def messages():
    for text in history:
        yield f"event: message\ndata: {text}\n\n"  # expect: SSE011
        await asyncio.sleep(0.01)


@app.get("/stream")
async def stream():
    return StreamingResponse(
        messages(),
        media_type="text/event-stream",
        headers={"Cache-Control": "no-store", "X-Accel-Buffering": "no"},
    )
