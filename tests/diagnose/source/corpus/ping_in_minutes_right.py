"""sse-starlette with an interval of its own."""

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
    return EventSourceResponse(watch_alerts(), ping=10)
