"""A middleware that compresses whatever passes."""

import asyncio
import zlib

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.responses import StreamingResponse
from starlette.routing import Route

HEADERS = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}


class CompressMiddleware:
    def __init__(self, app):
        self.app = app

    async def __call__(self, scope, receive, send):
        packer = zlib.compressobj(wbits=31)  # expect: SSE015

        async def sending(message):
            if message["type"] == "http.response.start":
                message["headers"] = [*message["headers"], (b"content-encoding", b"gzip")]
            elif message["type"] == "http.response.body":
                packed = packer.compress(message.get("body", b""))
                message["body"] = packed if message.get("more_body") else packed + packer.flush()
            await send(message)

        await self.app(scope, receive, sending)


async def numbers():
    for number in range(3):
        yield f"data: {number}\n\n"
        await asyncio.sleep(0.01)


async def stream(request):
    return StreamingResponse(numbers(), media_type="text/event-stream", headers=HEADERS)


app = Starlette(routes=[Route("/stream", stream)], middleware=[Middleware(CompressMiddleware)])
