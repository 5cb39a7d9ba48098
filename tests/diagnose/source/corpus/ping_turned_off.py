"""sse-starlette without its pings, over a queue that may stay empty for hours."""

import asyncio

from fastapi import FastAPI
from sse_starlette.sse import EventSourceResponse

app = FastAPI()
alerts: asyncio.Queue = asyncio.Queue(maxsize=100)


async def watch_alerts():
    yield {"event": "ready", "data": ""}
    while True:
        alert = await alerts.get()
        yield {"event": "alert", "data": alert}


@app.get("/stream")
async def stream():
    return EventSourceResponse(watch_alerts(), ping=0)  # expect: SSE002
