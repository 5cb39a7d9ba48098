"""The same loop with the `yield` outside of the `try`: only the job's failures are caught."""

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
        except Exception:
            log.exception("the job cannot be read")
        else:
            yield state
        await asyncio.sleep(0.01)


@app.get("/stream")
async def stream(job: str = "a"):
    return EventSourceResponse(poll(job))
