"""Everything under other names: they are resolved."""

import asyncio as aio
import itertools as it

import fastapi
import fastapi.responses as responses

app = fastapi.FastAPI()


async def ticks():
    for number in it.count():
        yield f"data: {number}\n\n"
        await aio.sleep(0.02)


@app.get("/stream")
async def stream():
    return responses.StreamingResponse(ticks(), media_type="text/event-stream")  # expect: SSE012, SSE017
