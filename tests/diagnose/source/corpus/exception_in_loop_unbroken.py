"""With unbroken the client's leaving is an exception at the `yield`, and this takes it."""

import asyncio
import logging

from fastapi import FastAPI
from unbroken import EventSourceResponse

from tests.diagnose.source.corpus.support import Jobs

app = FastAPI()
jobs = Jobs()
log = logging.getLogger(__name__)


async def poll(job: str):
    while True:
        try:
            state = await jobs.status(job)
            yield state
        except Exception:  # expect: SSE005
            log.exception("the job cannot be read")
        await asyncio.sleep(0.01)


@app.get("/stream")
async def stream(job: str = "a"):
    return EventSourceResponse(poll(job))
