"""An await that never suspends: it counts as one, and the event loop stands still all the same."""
# run: no, because it never gives the event loop back

from fastapi import FastAPI
from sse_starlette.sse import EventSourceResponse

app = FastAPI()


async def current() -> str:
    return "now"


async def flood():
    while True:  # missed: SSE004
        yield {"data": await current()}


@app.get("/stream")
async def stream():
    return EventSourceResponse(flood())
