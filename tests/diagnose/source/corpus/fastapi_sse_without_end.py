"""FastAPI's own event stream, which nothing ends when the server shuts down."""

import asyncio
from collections.abc import AsyncIterable

from fastapi import FastAPI
from fastapi.sse import EventSourceResponse, ServerSentEvent

app = FastAPI()


@app.get("/stream", response_class=EventSourceResponse)
async def ticks() -> AsyncIterable[ServerSentEvent]:  # expect: SSE017
    number = 0
    while True:
        yield ServerSentEvent(data=number, id=str(number))
        number += 1
        await asyncio.sleep(0.02)
