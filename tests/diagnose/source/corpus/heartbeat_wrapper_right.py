"""A wrapper that puts comments into the silence of any generator."""

import asyncio
import json

from fastapi import FastAPI
from fastapi.responses import StreamingResponse

from tests.diagnose.source.corpus.support import Model

app = FastAPI()
model = Model()
HEADERS = {"Cache-Control": "no-cache", "X-Accel-Buffering": "no"}


async def with_heartbeat(events, interval=10):
    iterator = aiter(events)
    step = asyncio.ensure_future(anext(iterator, None))
    while True:
        done, _ = await asyncio.wait({step}, timeout=interval)
        if not done:
            yield ": keep-alive\n\n"
            continue
        event = step.result()
        if event is None:
            return
        yield event
        step = asyncio.ensure_future(anext(iterator, None))


async def answer(prompt: str):
    async for token in model.stream(prompt):
        yield f"data: {json.dumps(token)}\n\n"


@app.get("/stream")
async def stream(prompt: str = "hello"):
    return StreamingResponse(with_heartbeat(answer(prompt)), media_type="text/event-stream", headers=HEADERS)
