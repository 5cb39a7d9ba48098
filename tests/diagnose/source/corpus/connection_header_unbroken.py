"""The header that HTTP/2 forbids, kept when the response was changed for unbroken's."""

import asyncio

from fastapi import FastAPI
from unbroken import EventSourceResponse

app = FastAPI()


async def numbers():
    for number in range(3):
        yield number
        await asyncio.sleep(0.01)


@app.get("/stream")
async def stream():
    return EventSourceResponse(numbers(), headers={"Connection": "keep-alive"})  # expect: SSE013
