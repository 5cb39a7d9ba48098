"""The same helper, given JSON only."""

import asyncio
import json

from fastapi import FastAPI
from starlette.responses import StreamingResponse

app = FastAPI()
HEADERS = {"Cache-Control": "no-cache", "X-Accel-Buffering": "no"}


def format_sse(data: str, event: str | None = None) -> str:
    message = f"data: {data}\n\n"
    if event is not None:
        message = f"event: {event}\n{message}"
    return message


async def echo(text: str):
    for part in text.split(";"):
        yield format_sse(json.dumps({"text": part}), event="part")
        await asyncio.sleep(0.01)


@app.get("/stream")
async def stream(text: str = "a;b"):
    return StreamingResponse(echo(text), media_type="text/event-stream", headers=HEADERS)
