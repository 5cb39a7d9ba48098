"""sse-starlette with what it brings: heartbeats, headers, the end of a shutdown."""

import asyncio

from fastapi import FastAPI, Request
from sse_starlette.sse import EventSourceResponse, ServerSentEvent

app = FastAPI()


async def numbers(request: Request):
    number = 0
    while not await request.is_disconnected():
        yield ServerSentEvent(data=str(number), event="number", id=str(number))
        number += 1
        await asyncio.sleep(0.02)


@app.get("/stream")
async def stream(request: Request):
    return EventSourceResponse(numbers(request))
