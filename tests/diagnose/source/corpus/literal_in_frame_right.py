"""A value that its type holds to one line."""

import asyncio
from typing import Literal

from fastapi import FastAPI
from fastapi.responses import StreamingResponse

app = FastAPI()
HEADERS = {"Cache-Control": "no-cache", "X-Accel-Buffering": "no"}


async def colours(colour: Literal["red", "green"]):
    for _ in range(3):
        yield f"data: {colour}\n\n"
        await asyncio.sleep(0.01)


@app.get("/stream")
async def stream(colour: Literal["red", "green"] = "red"):
    return StreamingResponse(colours(colour), media_type="text/event-stream", headers=HEADERS)
