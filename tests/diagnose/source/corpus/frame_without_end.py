"""Events that end in one line break: no client ever sees them."""

import asyncio

from fastapi import FastAPI
from fastapi.responses import StreamingResponse

app = FastAPI()


async def numbers():
    for number in range(3):
        yield f"data: {number}\n"  # expect: SSE018
        await asyncio.sleep(0.01)


@app.get("/stream")
async def stream():
    return StreamingResponse(
        numbers(), media_type="text/event-stream", headers={"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
    )
