"""Streams of another library, protected by one line, and a page that shows them."""

import asyncio

from fastapi import FastAPI
from starlette.requests import Request
from starlette.responses import StreamingResponse

from unbroken import EventStreamGuard, Limits
from unbroken.status import StatusPage

app = FastAPI()
app.mount("/streams", StatusPage(permission=lambda request: request.client.host == "127.0.0.1"))
app.add_middleware(EventStreamGuard, heartbeat=5.0, limits=Limits(total=1000, per_client=20))


@app.get("/quotes")
async def quotes(request: Request, every: float = 10.0):
    async def events():
        number = 0
        while True:
            number += 1
            yield f"id: {number}\ndata: {100 + number % 7}\n\n"
            await asyncio.sleep(every)

    return StreamingResponse(events(), media_type="text/event-stream")
