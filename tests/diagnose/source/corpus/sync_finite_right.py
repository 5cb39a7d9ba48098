"""A synchronous generator that never waits: its thread is given back at once."""

import json

from fastapi import FastAPI
from fastapi.responses import StreamingResponse

app = FastAPI()
ROWS = [{"id": number, "name": f"row {number}"} for number in range(5)]


def export():
    for row in ROWS:
        yield f"data: {json.dumps(row)}\n\n"
    yield "event: done\ndata: {}\n\n"


@app.get("/stream")
def stream():
    return StreamingResponse(
        export(), media_type="text/event-stream", headers={"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
    )
