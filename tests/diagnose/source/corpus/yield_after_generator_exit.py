"""A last word in a handler that takes `GeneratorExit`, where no word is allowed."""

import asyncio

from fastapi import FastAPI
from sse_starlette.sse import EventSourceResponse

app = FastAPI()


async def ticks():
    try:
        for number in range(5):
            yield {"data": str(number)}
            await asyncio.sleep(0.01)
    except BaseException:  # expect: SSE005
        yield {"event": "end", "data": "interrupted"}


@app.get("/stream")
async def stream():
    return EventSourceResponse(ticks())
