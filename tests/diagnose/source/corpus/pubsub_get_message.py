"""A broker that is asked with a timeout, and nothing said when nothing came."""

import asyncio
import json

from starlette.applications import Starlette
from starlette.responses import StreamingResponse
from starlette.routing import Route

from tests.diagnose.source.corpus.support import Bus

HEADERS = {"Cache-Control": "no-cache", "X-Accel-Buffering": "no"}


class Feed:
    def __init__(self, request):
        self.request = request
        self.bus = Bus()

    async def events(self):
        while not await self.request.is_disconnected():
            message = await self.bus.get_message(timeout=0.05)
            if message:
                yield f"data: {json.dumps(message)}\n\n"
            await asyncio.sleep(0.01)


async def stream(request):
    return StreamingResponse(  # expect: SSE002, SSE017
        Feed(request).events(), media_type="text/event-stream", headers=HEADERS
    )


app = Starlette(routes=[Route("/stream", stream)])
