"""A store is asked every second for what is pending, and every round sends its answer."""

import asyncio
import json

from fastapi import FastAPI
from fastapi.responses import StreamingResponse

app = FastAPI()


class Files:
    async def get_pending_files(self, owner):
        await asyncio.sleep(0)
        return [owner]


files = Files()


async def pending(store):
    for _ in range(3):
        names = await store.get_pending_files("ann")
        yield f"data: {json.dumps(names)}\n\n"
        await asyncio.sleep(0.01)


@app.get("/stream")
async def stream():
    return StreamingResponse(
        pending(files),
        media_type="text/event-stream",
        headers={"Cache-Control": "no-store", "X-Accel-Buffering": "no"},
    )
