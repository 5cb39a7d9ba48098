"""A log's tail: lines of a file hold no line break inside."""

import asyncio
import os
import tempfile

from fastapi import FastAPI
from fastapi.responses import StreamingResponse

app = FastAPI()
HEADERS = {"Cache-Control": "no-cache", "X-Accel-Buffering": "no"}
handle, path = tempfile.mkstemp(suffix=".log")
os.write(handle, b"one\ntwo\n")


async def tail():
    with open(path) as log:
        for _ in range(3):
            line = log.readline()
            if line:
                yield f"data: {line.rstrip()}\n\n"
            else:
                yield ": nothing new\n\n"
                await asyncio.sleep(0.01)


@app.get("/stream")
async def stream():
    return StreamingResponse(tail(), media_type="text/event-stream", headers=HEADERS)
