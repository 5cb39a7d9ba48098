"""Headers from elsewhere are taken to be complete."""

import asyncio

from fastapi import FastAPI
from fastapi.responses import StreamingResponse

app = FastAPI()


def sse_headers(**more: str) -> dict[str, str]:
    return {"Cache-Control": "no-cache", "X-Accel-Buffering": "no", **more}


async def numbers():
    for number in range(3):
        yield f"data: {number}\n\n"
        await asyncio.sleep(0.01)


@app.get("/stream")
async def stream():
    return StreamingResponse(numbers(), media_type="text/event-stream", headers=sse_headers(Vary="Accept"))
