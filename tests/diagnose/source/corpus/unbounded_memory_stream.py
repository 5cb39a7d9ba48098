"""anyio's stream with an infinite buffer, filled for as long as the client stays."""

import itertools
import math

import anyio
from fastapi import FastAPI
from sse_starlette.sse import EventSourceResponse

app = FastAPI()
sinks: set = set()


async def fill(send):
    for number in itertools.count():
        await send.send(number)
        await anyio.sleep(0.01)


@app.get("/stream")
async def stream():
    send, receive = anyio.create_memory_object_stream(math.inf)  # expect: SSE009
    sinks.add(send)

    async def events():
        try:
            send.send_nowait("hello")
            async with receive:
                async for item in receive:
                    yield {"data": str(item)}
        finally:
            sinks.discard(send)

    return EventSourceResponse(events())
