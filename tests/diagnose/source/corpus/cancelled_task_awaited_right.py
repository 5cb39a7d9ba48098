"""The wait for one's own task, just cancelled, may take its cancellation."""

import asyncio
import contextlib
import json

from fastapi import FastAPI
from sse_starlette import EventSourceResponse

app = FastAPI()


async def produce(queue: asyncio.Queue):
    for number in range(3):
        await queue.put(number)
    await queue.put(None)


async def rounds():
    for _ in range(2):
        queue: asyncio.Queue = asyncio.Queue(maxsize=4)
        task = asyncio.create_task(produce(queue))
        try:
            while (number := await queue.get()) is not None:
                yield {"data": json.dumps(number)}
        finally:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task


@app.get("/stream")
async def stream():
    return EventSourceResponse(rounds())
