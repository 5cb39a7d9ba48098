"""A stream of JSON lines, which is no event stream and does not say so."""

import asyncio
import json

from fastapi import FastAPI
from fastapi.responses import StreamingResponse

app = FastAPI()


async def rows():
    for number in range(3):
        yield json.dumps({"data": number}) + "\n"
        await asyncio.sleep(0.01)


@app.get("/stream")
async def stream():
    return StreamingResponse(rows(), media_type="application/x-ndjson")
