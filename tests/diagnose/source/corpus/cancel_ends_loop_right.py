"""A cancellation that ends the loop: nothing of it is lost on any server."""

import asyncio

from fastapi import FastAPI
from sse_starlette.sse import EventSourceResponse

app = FastAPI()


async def ticks():
    number = 0
    while True:
        try:
            yield {"data": str(number)}
            number += 1
            await asyncio.sleep(0.02)
        except asyncio.CancelledError:
            print("the client has gone")
            break


@app.get("/stream")
async def stream():
    return EventSourceResponse(ticks())
