"""An event's type from the request, in a frame: whoever asks can write events."""

import asyncio
import json

from fastapi import FastAPI
from fastapi.responses import StreamingResponse

app = FastAPI()
HEADERS = {"Cache-Control": "no-cache", "X-Accel-Buffering": "no"}


async def echo(channel: str):
    for number in range(3):
        yield "event: " + channel + "\ndata: " + json.dumps(number) + "\n\n"  # expect: SSE011
        await asyncio.sleep(0.01)


@app.get("/stream")
async def stream(channel: str = "news"):
    return StreamingResponse(echo(channel), media_type="text/event-stream", headers=HEADERS)
