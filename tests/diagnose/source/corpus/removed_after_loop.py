"""A chat room whose members are taken out after the loop, which is not reached."""

import asyncio

from fastapi import FastAPI, Request
from sse_starlette.sse import EventSourceResponse

app = FastAPI()


class Room:
    def __init__(self):
        self.members: list[asyncio.Queue] = []

    async def say(self, text: str):
        for member in self.members:
            await member.put(text)

    async def listen(self, request: Request):
        member: asyncio.Queue = asyncio.Queue(maxsize=20)
        self.members.append(member)  # expect: SSE008
        await self.say("welcome")
        while not await request.is_disconnected():
            yield {"event": "message", "data": await member.get()}
        self.members.remove(member)


room = Room()


@app.get("/stream")
async def stream(request: Request):
    return EventSourceResponse(room.listen(request))
