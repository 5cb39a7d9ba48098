"""A check of rights inside the generator, when the status 200 has been sent."""

import asyncio

from fastapi import FastAPI, HTTPException
from sse_starlette.sse import EventSourceResponse

app = FastAPI()
ROOMS = {"lobby": 3}


async def messages(room: str):
    if room not in ROOMS:
        raise HTTPException(status_code=404, detail="no such room")  # expect: SSE021
    for number in range(ROOMS[room]):
        yield {"data": str(number)}
        await asyncio.sleep(0.01)


@app.get("/stream")
async def stream(room: str = "lobby"):
    return EventSourceResponse(messages(room))
