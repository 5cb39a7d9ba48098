"""A subscription as a context manager, which takes it back."""

import asyncio
from contextlib import contextmanager

from fastapi import FastAPI
from sse_starlette.sse import EventSourceResponse

app = FastAPI()


class Hub:
    def __init__(self):
        self._queues: set[asyncio.Queue] = set()

    def publish(self, item: str) -> None:
        for queue in self._queues:
            queue.put_nowait(item)

    @contextmanager
    def subscribed(self):
        queue: asyncio.Queue = asyncio.Queue(maxsize=16)
        self._queues.add(queue)
        try:
            yield queue
        finally:
            self._queues.discard(queue)


hub = Hub()


async def events():
    with hub.subscribed() as queue:
        hub.publish("hello")
        while True:
            yield {"data": await queue.get()}


@app.get("/stream")
async def stream():
    return EventSourceResponse(events())
