"""A broadcaster with `subscribe` and `unsubscribe`, called where it counts."""

import asyncio

from fastapi import FastAPI
from sse_starlette.sse import EventSourceResponse

app = FastAPI()


class Broadcaster:
    def __init__(self):
        self.queues = []

    def subscribe(self) -> asyncio.Queue:
        queue = asyncio.Queue(maxsize=32)
        self.queues.append(queue)
        return queue

    def unsubscribe(self, queue) -> None:
        self.queues.remove(queue)

    def broadcast(self, message) -> None:
        for queue in self.queues:
            queue.put_nowait(message)


broadcaster = Broadcaster()


async def events():
    queue = broadcaster.subscribe()
    try:
        broadcaster.broadcast("joined")
        while True:
            yield {"data": await queue.get()}
    finally:
        broadcaster.unsubscribe(queue)


@app.get("/stream")
async def stream():
    return EventSourceResponse(events())
