"""A queue without a size for every client of a feed."""

import asyncio
import json

from fastapi import FastAPI
from sse_starlette.sse import EventSourceResponse

app = FastAPI()
feeds: dict[str, list[asyncio.Queue]] = {}


async def follow(topic: str):
    queue = asyncio.Queue()  # expect: SSE009
    feeds.setdefault(topic, []).append(queue)
    try:
        queue.put_nowait({"topic": topic})
        while True:
            yield {"data": json.dumps(await queue.get())}
    finally:
        feeds[topic].remove(queue)


@app.get("/stream")
async def stream(topic: str = "news"):
    return EventSourceResponse(follow(topic))
