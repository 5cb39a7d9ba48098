"""Frames of JSON by a codec of the application's own."""

import asyncio
import json

from fastapi import FastAPI
from fastapi.responses import StreamingResponse

app = FastAPI()


class JSONCodec:
    @staticmethod
    def dumps(value):
        return json.dumps(value)


async def steps():
    for number in range(5):
        message_json = JSONCodec.dumps({"message": "step\n"})
        yield f"data: {JSONCodec.dumps({'step': number})}\n\n"
        yield f"data: {message_json}\n\n"
        await asyncio.sleep(0.01)
    for message in ({"last": "line\n"}, {"end": "\n"}):
        message = json.dumps(message)
        try:
            yield f"data: {message}\n\n"
        finally:
            await asyncio.sleep(0)


@app.get("/stream")
async def stream():
    return StreamingResponse(
        steps(),
        media_type="text/event-stream",
        headers={"Cache-Control": "no-store", "X-Accel-Buffering": "no"},
    )
