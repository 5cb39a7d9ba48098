"""Messages from a list: while it is empty, the loop spins."""
# run: no, because it never gives the event loop back

import json

from fastapi import FastAPI
from sse_starlette.sse import EventSourceResponse

app = FastAPI()
messages: list[dict] = []


async def drain():
    while True:  # expect: SSE004
        if messages:
            yield {"data": json.dumps(messages.pop(0))}


@app.get("/stream")
async def stream():
    return EventSourceResponse(drain())
