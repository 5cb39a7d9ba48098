"""Progress of a job without the headers that keep proxies from buffering it."""

import asyncio
import json

from starlette.applications import Starlette
from starlette.responses import StreamingResponse
from starlette.routing import Route


async def progress():
    for percent in range(0, 101, 25):
        yield "data: " + json.dumps({"percent": percent}) + "\n\n"
        await asyncio.sleep(0.01)


async def stream(request):
    return StreamingResponse(progress(), media_type="text/event-stream")  # expect: SSE012


app = Starlette(routes=[Route("/stream", stream)])
