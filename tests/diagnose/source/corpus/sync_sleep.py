"""A synchronous generator that sleeps: each of its clients holds a thread."""

import time

from fastapi import FastAPI
from fastapi.responses import StreamingResponse

app = FastAPI()
HEADERS = {"Cache-Control": "no-cache", "X-Accel-Buffering": "no"}


def countdown(start: int):
    for left in range(start, 0, -1):
        yield f"data: {left}\n\n"
        time.sleep(0.01)  # expect: SSE006


@app.get("/stream")
def stream(start: int = 3):
    return StreamingResponse(countdown(start), media_type="text/event-stream", headers=HEADERS)
