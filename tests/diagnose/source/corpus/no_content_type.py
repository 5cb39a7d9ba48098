"""Events without a content type: the browser's `EventSource` gives up at once."""

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
    return StreamingResponse(numbers())  # expect: SSE012, SSE019
