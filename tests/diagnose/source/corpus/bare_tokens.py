"""A model's deltas yielded as they come: no `data:`, no blank line."""

import asyncio
from types import SimpleNamespace

from fastapi import FastAPI
from fastapi.responses import StreamingResponse

app = FastAPI()
HEADERS = {"Cache-Control": "no-cache", "X-Accel-Buffering": "no"}


async def completion():
    for word in ("hello ", "world"):
        await asyncio.sleep(0.01)
        yield SimpleNamespace(choices=[SimpleNamespace(delta=SimpleNamespace(content=word))])


async def answer():
    async for chunk in completion():
        yield chunk.choices[0].delta.content  # expect: SSE018


@app.get("/stream")
async def stream():
    return StreamingResponse(answer(), media_type="text/event-stream", headers=HEADERS)
