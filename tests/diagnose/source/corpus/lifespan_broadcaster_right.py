"""A broadcaster in the application's state, with bounded queues and an end for each of them."""

import asyncio
import json
from contextlib import asynccontextmanager

from fastapi import FastAPI, Request
from unbroken import EventSourceResponse, ServerSentEvent


class Broadcaster:
    def __init__(self):
        self.queues: set[asyncio.Queue] = set()

    async def run(self):
        while True:
            for queue in self.queues:
                if not queue.full():
                    queue.put_nowait({"listeners": len(self.queues)})
            await asyncio.sleep(0.02)


@asynccontextmanager
async def lifespan(app: FastAPI):
    task = asyncio.create_task(app.state.broadcaster.run())
    yield
    task.cancel()


app = FastAPI(lifespan=lifespan)
app.state.broadcaster = Broadcaster()


@app.get("/stream")
async def stream(request: Request):
    queues = request.app.state.broadcaster.queues

    async def events():
        queue: asyncio.Queue = asyncio.Queue(maxsize=8)
        queues.add(queue)
        try:
            queue.put_nowait({"listeners": len(queues)})
            while True:
                yield ServerSentEvent(data=json.dumps(await queue.get()), event="count")
        finally:
            queues.discard(queue)

    return EventSourceResponse(events())
