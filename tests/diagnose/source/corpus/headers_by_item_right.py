"""Headers that are set on the response after it was made."""

import asyncio

from fastapi import FastAPI
from fastapi.responses import StreamingResponse

app = FastAPI()


async def numbers():
    for number in range(3):
        yield f"data: {number}\n\n"
        await asyncio.sleep(0.01)


@app.get("/stream")
async def stream():
    response = StreamingResponse(numbers(), media_type="text/event-stream")
    response.headers["Cache-Control"] = "no-cache"
    response.headers["X-Accel-Buffering"] = "no"
    return response
