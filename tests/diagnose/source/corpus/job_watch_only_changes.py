"""A job's progress: asked for every moment, sent only when it has changed."""

import asyncio
import json

from fastapi import APIRouter, FastAPI
from fastapi.responses import StreamingResponse

from tests.diagnose.source.corpus.support import Jobs

router = APIRouter()
jobs = Jobs()
HEADERS = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}


async def watch(job_id: str):
    last = None
    while True:
        state = await asyncio.wait_for(jobs.status(job_id), timeout=5)
        if state["percent"] != last:
            last = state["percent"]
            yield f"event: progress\ndata: {json.dumps(state)}\n\n"
        if state["done"]:
            break
        await asyncio.sleep(0.01)


@router.get("/stream")
async def stream(job_id: str = "a"):
    return StreamingResponse(watch(job_id), media_type="text/event-stream", headers=HEADERS)  # expect: SSE002


app = FastAPI()
app.include_router(router)
