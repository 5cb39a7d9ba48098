"""A blocking call behind an import: only its own module could show it."""

import asyncio

from fastapi import FastAPI
from sse_starlette.sse import EventSourceResponse

from tests.diagnose.source.corpus.support import rest

app = FastAPI()


async def numbers():
    for number in range(3):
        rest(0.01)  # missed: SSE007
        yield {"data": str(number)}
        await asyncio.sleep(0)


@app.get("/stream")
async def stream():
    return EventSourceResponse(numbers())
