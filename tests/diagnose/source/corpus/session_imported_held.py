"""A database that is imported, and called as such things are."""

import asyncio

from fastapi import Depends, FastAPI
from sse_starlette.sse import EventSourceResponse

from tests.diagnose.source.corpus.support import Jobs, get_db

app = FastAPI()


@app.get("/stream")
async def stream(job: str = "a", db: Jobs = Depends(get_db)):  # expect: SSE010
    async def events():
        while True:
            state = await db.status(job)
            yield {"data": str(state["percent"])}
            if state["done"]:
                break
            await asyncio.sleep(0.01)

    return EventSourceResponse(events())
