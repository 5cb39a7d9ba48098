"""A session of messages over POST and GET, in the manner of MCP's streamable HTTP."""

import asyncio
import json
import uuid

from sse_starlette.sse import EventSourceResponse
from starlette.applications import Starlette
from starlette.responses import JSONResponse
from starlette.routing import Route


class Session:
    def __init__(self):
        self.id = uuid.uuid4().hex
        self.outgoing: asyncio.Queue = asyncio.Queue(maxsize=64)

    async def messages(self):
        yield {"event": "endpoint", "data": f"/messages?session_id={self.id}"}
        while True:
            message = await self.outgoing.get()
            if message is None:
                return
            yield {"event": "message", "data": json.dumps(message)}


sessions: dict[str, Session] = {}


async def stream(request):
    session = Session()
    sessions[session.id] = session

    async def events():
        try:
            async for event in session.messages():
                yield event
        finally:
            sessions.pop(session.id, None)

    return EventSourceResponse(events())


async def post(request):
    await sessions[request.query_params["session_id"]].outgoing.put(await request.json())
    return JSONResponse({}, 202)


app = Starlette(routes=[Route("/stream", stream), Route("/messages", post, methods=["POST"])])
