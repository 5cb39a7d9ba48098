"""The guard cannot reach into a generator: the exception does not come there, either."""

import asyncio

from fastapi import FastAPI
from fastapi.responses import StreamingResponse
from unbroken import EventStreamGuard

app = FastAPI()
app.add_middleware(EventStreamGuard)


async def ticks():
    try:
        for number in range(50):
            yield f"data: {number}\n\n"
            await asyncio.sleep(0.01)
    except ConnectionError:  # expect: SSE003
        print("gone")


@app.get("/stream")
async def stream():
    return StreamingResponse(ticks(), media_type="text/event-stream")
