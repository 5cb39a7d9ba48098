"""With unbroken an error before the first event is still a real response."""

import asyncio

from fastapi import FastAPI, HTTPException
from unbroken import EventSourceResponse

app = FastAPI()
ROOMS = {"lobby": 3}


async def messages(room: str):
    if room not in ROOMS:
        raise HTTPException(status_code=404, detail="no such room")
    for number in range(ROOMS[room]):
        yield number
        await asyncio.sleep(0.01)


@app.get("/stream")
async def stream(room: str = "lobby"):
    return EventSourceResponse(messages(room))
