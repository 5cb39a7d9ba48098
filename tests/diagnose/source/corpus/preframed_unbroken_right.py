"""Frames given to unbroken as what they are, in text and in bytes."""

import asyncio
import json

from fastapi import FastAPI
from unbroken import EventSourceResponse

app = FastAPI()


async def numbers():
    for number in range(3):
        yield f"event: number\ndata: {json.dumps(number)}\n\n"
        yield b"data: bytes are frames\n\n"
        await asyncio.sleep(0.01)


@app.get("/stream")
async def stream():
    return EventSourceResponse(numbers(), preframed=True)
