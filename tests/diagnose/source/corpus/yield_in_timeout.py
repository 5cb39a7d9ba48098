"""A stream that is to end after a time, with anyio's scope around its `yield`."""

import anyio
from fastapi import FastAPI
from sse_starlette.sse import EventSourceResponse

app = FastAPI()


async def ticks():
    with anyio.move_on_after(0.5):  # expect: SSE016
        for number in range(5):
            yield {"data": str(number)}
            await anyio.sleep(0.01)


@app.get("/stream")
async def stream():
    return EventSourceResponse(ticks())
