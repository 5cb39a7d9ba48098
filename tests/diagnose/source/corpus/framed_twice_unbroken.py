"""Frames given to unbroken without `preframed=True`."""

import asyncio
import json

from fastapi import FastAPI
from unbroken import EventSourceResponse

app = FastAPI()


async def numbers():
    for number in range(3):
        yield "event: number\ndata: " + json.dumps(number) + "\n\n"  # expect: SSE018
        await asyncio.sleep(0.01)


@app.get("/stream")
async def stream():
    return EventSourceResponse(numbers())
