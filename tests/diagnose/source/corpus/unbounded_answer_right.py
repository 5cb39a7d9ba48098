"""A queue without a size between one answer and its stream: the answer is its bound."""

import asyncio
import json

from fastapi import FastAPI
from sse_starlette.sse import EventSourceResponse

from tests.diagnose.source.corpus.support import Model

app = FastAPI()
model = Model()


async def run(prompt: str, queue: asyncio.Queue):
    async for token in model.stream(prompt):
        queue.put_nowait(token)
    queue.put_nowait(None)


async def answer(prompt: str):
    queue = asyncio.Queue()
    task = asyncio.create_task(run(prompt, queue))
    try:
        while True:
            token = await queue.get()
            if token is None:
                break
            yield {"event": "token", "data": json.dumps(token)}
    finally:
        task.cancel()


@app.get("/stream")
async def stream(prompt: str = "hello"):
    return EventSourceResponse(answer(prompt))
