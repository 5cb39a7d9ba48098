"""JSON lines under the name of an event stream: no client sees an event."""

import asyncio
import json

from fastapi import FastAPI
from fastapi.responses import StreamingResponse

app = FastAPI()
HEADERS = {"Cache-Control": "no-cache", "X-Accel-Buffering": "no"}


async def states():
    for number in range(3):
        yield json.dumps({"number": number}) + "\n"  # expect: SSE018
        await asyncio.sleep(0.01)


@app.get("/stream")
async def stream():
    return StreamingResponse(states(), media_type="text/event-stream", headers=HEADERS)
