"""The same belief where it is true: unbroken raises it there."""

import asyncio
import logging

from fastapi import FastAPI
from unbroken import EventSourceResponse, ServerSentEvent

app = FastAPI()
logger = logging.getLogger(__name__)


async def feed():
    try:
        for number in range(20):
            yield ServerSentEvent(data=str(number), id=str(number))
            await asyncio.sleep(0.01)
    except ConnectionResetError:
        logger.info("the client has gone")


@app.get("/stream")
async def stream():
    return EventSourceResponse(feed())
