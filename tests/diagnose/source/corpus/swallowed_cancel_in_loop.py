"""A poller that goes on whatever happens to it, to its fortieth round."""

import asyncio

from fastapi import FastAPI
from sse_starlette.sse import EventSourceResponse

app = FastAPI()


async def poll():
    for number in range(40):
        try:
            yield {"event": "tick", "data": str(number)}
            await asyncio.sleep(0.02)
        except asyncio.CancelledError:  # expect: SSE005
            print("cancelled")


@app.get("/stream")
async def stream():
    return EventSourceResponse(poll())
