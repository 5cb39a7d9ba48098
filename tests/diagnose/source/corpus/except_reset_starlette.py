"""A feed that believes that a client's leaving is raised at the yield."""

import asyncio
import logging

from fastapi import FastAPI
from fastapi.responses import StreamingResponse

app = FastAPI()
logger = logging.getLogger(__name__)


async def feed():
    try:
        for number in range(20):
            yield f"id: {number}\ndata: {number}\n\n"
            await asyncio.sleep(0.01)
    except ConnectionResetError:  # expect: SSE003
        logger.info("the client has gone")


@app.get("/stream")
async def stream():
    return StreamingResponse(
        feed(),
        media_type="text/event-stream",
        headers={"Cache-Control": "no-cache", "X-Accel-Buffering": "no"},
    )
