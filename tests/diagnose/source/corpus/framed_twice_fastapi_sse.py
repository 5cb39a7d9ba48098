"""Frames given to FastAPI's own stream, which makes JSON of them."""

import asyncio
from collections.abc import AsyncIterable

from fastapi import FastAPI
from fastapi.sse import EventSourceResponse

app = FastAPI()


@app.get("/stream", response_class=EventSourceResponse)
async def numbers() -> AsyncIterable[str]:
    for number in range(3):
        yield f"data: {number}\n\n"  # expect: SSE018
        await asyncio.sleep(0.01)
