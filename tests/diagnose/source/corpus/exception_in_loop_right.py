"""`except Exception` takes no cancellation: the stream of sse-starlette ends all the same."""

import asyncio
import logging

from fastapi import FastAPI
from sse_starlette.sse import EventSourceResponse

from tests.diagnose.source.corpus.support import Jobs

app = FastAPI()
jobs = Jobs()
log = logging.getLogger(__name__)


async def poll(job: str):
    while True:
        try:
            state = await jobs.status(job)
            yield {"data": str(state["percent"])}
        except Exception:
            log.exception("the job cannot be read")
        await asyncio.sleep(0.01)


@app.get("/stream")
async def stream(job: str = "a"):
    return EventSourceResponse(poll(job))
