"""A broker's subscription relayed over a plain response: silent for as long as nobody publishes."""

import json

from fastapi import FastAPI
from fastapi.responses import StreamingResponse

from tests.diagnose.source.corpus.support import Bus

app = FastAPI()
HEADERS = {"Cache-Control": "no-cache", "X-Accel-Buffering": "no"}


async def relay(channel: str):
    async with Bus() as bus:
        await bus.subscribe(channel)
        try:
            async for message in bus.listen():
                if message["type"] == "message":
                    yield f"event: {channel!r}\ndata: {json.dumps(message['data'])}\n\n"
        finally:
            await bus.unsubscribe(channel)


@app.get("/stream")
async def stream(channel: str = "news"):
    return StreamingResponse(relay(channel), media_type="text/event-stream", headers=HEADERS)  # expect: SSE002, SSE017
