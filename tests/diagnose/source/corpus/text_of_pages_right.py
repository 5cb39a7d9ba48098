"""A generator of text feeds the one that frames it."""

import asyncio
import json

from fastapi import FastAPI
from fastapi.responses import StreamingResponse

app = FastAPI()


def pages(names):
    for name in names:
        yield f"<!-- File: {name} -->\n"
        yield "text"
        yield "\n<-- End -->\n\n"


async def load():
    for size, text in enumerate(pages(["a", "b"])):
        yield f"data: {json.dumps({'size': size, 'text': text})}\n\n"
        await asyncio.sleep(0.01)


@app.get("/stream")
async def stream():
    return StreamingResponse(
        load(),
        media_type="text/event-stream",
        headers={"Cache-Control": "no-store", "X-Accel-Buffering": "no"},
    )
