"""A cache is told, nginx is not."""

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
    return StreamingResponse(  # expect: SSE012
        numbers(), headers={"Cache-Control": "no-cache", "Content-Type": "text/event-stream"}
    )
