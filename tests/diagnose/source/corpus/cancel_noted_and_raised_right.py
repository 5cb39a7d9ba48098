"""sse-starlette's own pattern: note the cancellation, and pass it on."""

import asyncio
import logging

from fastapi import FastAPI
from sse_starlette import EventSourceResponse

app = FastAPI()
logger = logging.getLogger(__name__)


async def poll():
    number = 0
    try:
        while True:
            number += 1
            yield {"event": "tick", "data": str(number)}
            await asyncio.sleep(0.02)
    except asyncio.CancelledError:
        logger.info("disconnected after %d", number)
        raise


@app.get("/stream")
async def stream():
    return EventSourceResponse(poll())
