"""`contextlib.suppress` where a cancellation comes."""

import asyncio
import contextlib

from fastapi import FastAPI
from sse_starlette import EventSourceResponse, ServerSentEvent

app = FastAPI()


async def beat():
    for number in range(40):
        with contextlib.suppress(asyncio.CancelledError):  # expect: SSE005
            yield ServerSentEvent(data=str(number))
            await asyncio.sleep(0.02)


@app.get("/stream")
async def stream():
    return EventSourceResponse(beat())
