"""A `ConnectionError` that the block itself raises may be caught."""

import asyncio

from fastapi import FastAPI
from sse_starlette.sse import EventSourceResponse

app = FastAPI()


async def attempts():
    for attempt in range(3):
        try:
            if attempt == 1:
                raise ConnectionError("the upstream is away")
            yield {"data": f"attempt {attempt}"}
            await asyncio.sleep(0.01)
        except ConnectionError as error:
            yield {"event": "failed", "data": str(error)}


@app.get("/stream")
async def stream():
    return EventSourceResponse(attempts())
