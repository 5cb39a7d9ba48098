"""An endless stream that the application's own shutdown ends."""

import asyncio
from contextlib import asynccontextmanager

from fastapi import FastAPI
from fastapi.responses import StreamingResponse

stop = asyncio.Event()
HEADERS = {"Cache-Control": "no-cache", "X-Accel-Buffering": "no"}


@asynccontextmanager
async def lifespan(app: FastAPI):
    yield
    stop.set()


app = FastAPI(lifespan=lifespan)


async def ticks():
    number = 0
    while not stop.is_set():
        yield f"data: {number}\n\n"
        number += 1
        await asyncio.sleep(0.02)


@app.get("/stream")
async def stream():
    return StreamingResponse(ticks(), media_type="text/event-stream", headers=HEADERS)
