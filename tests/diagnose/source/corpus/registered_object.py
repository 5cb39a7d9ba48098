"""A client that is registered as an object of one's own, and never taken out."""

import asyncio

from fastapi import FastAPI
from sse_starlette.sse import EventSourceResponse

app = FastAPI()


class Client:
    def __init__(self):
        self.pending = asyncio.Queue()  # missed: SSE009

    async def events(self):
        while True:
            yield {"data": await self.pending.get()}


clients: list[Client] = []


@app.get("/stream")
async def stream():
    client = Client()
    client.pending.put_nowait("hello")
    clients.append(client)  # missed: SSE008
    return EventSourceResponse(client.events())
