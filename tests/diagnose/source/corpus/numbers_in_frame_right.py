"""Values that are one line by their nature: numbers, times, ids."""

import asyncio
import time
import uuid
from datetime import datetime, timezone

from fastapi import FastAPI
from fastapi.responses import StreamingResponse

app = FastAPI()
HEADERS = {"Cache-Control": "no-cache", "X-Accel-Buffering": "no"}


async def values(count: int):
    started = time.monotonic()
    for index, word in enumerate("one two three".split()):
        now = datetime.now(timezone.utc)
        yield f"id: {uuid.uuid4()}\nevent: value\ndata: {index + 1}/{count} {word} {now.isoformat()}\n\n"
        await asyncio.sleep(0.01)
    yield "event: end\ndata: %.3f\n\n" % (time.monotonic() - started)


@app.get("/stream")
async def stream(count: int = 3):
    return StreamingResponse(values(count), media_type="text/event-stream", headers=HEADERS)
