"""The same check in the endpoint, and one that the generator itself tells."""

import asyncio

from fastapi import FastAPI, HTTPException
from sse_starlette.sse import EventSourceResponse

app = FastAPI()
ROOMS = {"lobby": 3}


async def messages(room: str):
    try:
        for number in range(ROOMS[room]):
            yield {"data": str(number)}
            await asyncio.sleep(0.01)
        if room not in ROOMS:
            raise HTTPException(410, "the room was closed")
    except HTTPException as error:
        yield {"event": "failed", "data": error.detail}


@app.get("/stream")
async def stream(room: str = "lobby"):
    if room not in ROOMS:
        raise HTTPException(status_code=404, detail="no such room")
    return EventSourceResponse(messages(room))
