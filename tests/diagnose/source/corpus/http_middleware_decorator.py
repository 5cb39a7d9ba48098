"""A middleware that times every request, streams included."""

import asyncio
import time

from fastapi import FastAPI, Request
from sse_starlette.sse import EventSourceResponse

app = FastAPI()


@app.middleware("http")
async def add_process_time(request: Request, call_next):  # expect: SSE014
    started = time.perf_counter()
    response = await call_next(request)
    response.headers["X-Process-Time"] = str(time.perf_counter() - started)
    return response


async def numbers():
    for number in range(3):
        yield {"data": str(number)}
        await asyncio.sleep(0.01)


@app.get("/stream")
async def stream():
    return EventSourceResponse(numbers())
