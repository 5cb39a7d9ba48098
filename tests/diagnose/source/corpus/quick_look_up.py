"""A look-up that is quick, which nothing in its name says."""

import asyncio
import json

from fastapi import FastAPI
from fastapi.responses import StreamingResponse

from tests.diagnose.source.corpus.support import Jobs

app = FastAPI()
jobs = Jobs()
HEADERS = {"Cache-Control": "no-cache", "X-Accel-Buffering": "no"}


async def states():
    for _ in range(3):
        yield f"data: {json.dumps(await jobs.status('a'))}\n\n"
        await asyncio.sleep(0.01)


@app.get("/stream")
async def stream():
    return StreamingResponse(states(), media_type="text/event-stream", headers=HEADERS)  # false: SSE002
