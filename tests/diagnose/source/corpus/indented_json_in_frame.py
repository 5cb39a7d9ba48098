"""JSON made pretty: its line breaks end the `data:` line."""

import asyncio
import json

from fastapi import FastAPI
from fastapi.responses import StreamingResponse

app = FastAPI()
HEADERS = {"Cache-Control": "no-cache", "X-Accel-Buffering": "no"}


async def states():
    for number in range(3):
        yield "data: {}\n\n".format(json.dumps({"number": number}, indent=2))  # expect: SSE011
        await asyncio.sleep(0.01)


@app.get("/stream")
async def stream():
    return StreamingResponse(states(), media_type="text/event-stream", headers=HEADERS)
