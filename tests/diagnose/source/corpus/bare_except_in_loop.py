"""A poller that catches everything so that nothing stops it, and nothing does."""

import asyncio

from starlette.applications import Starlette
from starlette.responses import StreamingResponse
from starlette.routing import Route

from tests.diagnose.source.corpus.support import Jobs

jobs = Jobs()
HEADERS = {"Cache-Control": "no-cache", "X-Accel-Buffering": "no"}


async def poll(job: str):
    for _ in range(40):
        try:
            state = await asyncio.wait_for(jobs.status(job), 5)
            yield f"data: {state['percent']}\n\n"
        except:  # expect: SSE005
            yield "event: error\ndata: failed\n\n"
        await asyncio.sleep(0.01)


async def stream(request):
    return StreamingResponse(poll("a"), media_type="text/event-stream", headers=HEADERS)


app = Starlette(routes=[Route("/stream", stream)])
