"""The belief in FastAPI's own streams, where it is as wrong."""

import asyncio
from collections.abc import AsyncIterable

from fastapi import FastAPI
from fastapi.sse import EventSourceResponse, ServerSentEvent

app = FastAPI()
clients = 0


@app.get("/stream", response_class=EventSourceResponse)
async def progress() -> AsyncIterable[ServerSentEvent]:
    global clients
    clients += 1
    try:
        for percent in range(0, 101, 10):
            yield ServerSentEvent(data={"percent": percent}, event="progress")
            await asyncio.sleep(0.01)
    except ConnectionResetError:  # expect: SSE003
        clients -= 1
