"""The import that answers on the web give, and that no version of Starlette has."""
# run: no, because the import fails, which is what is to be found

import asyncio

from fastapi import FastAPI
from starlette.responses import EventSourceResponse  # expect: SSE001

app = FastAPI()


async def events():
    for number in range(5):
        yield f"data: {number}\n\n"
        await asyncio.sleep(0.01)


@app.get("/stream")
async def stream():
    return EventSourceResponse(events())
