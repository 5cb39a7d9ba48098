"""A middleware of plain ASGI, CORS, and Starlette's GZip, which leaves streams alone."""

import asyncio

from fastapi import FastAPI
from fastapi.middleware.cors import CORSMiddleware
from fastapi.middleware.gzip import GZipMiddleware
from sse_starlette.sse import EventSourceResponse


class RequestId:
    def __init__(self, app):
        self.app = app

    async def __call__(self, scope, receive, send):
        async def sending(message):
            if message["type"] == "http.response.start":
                message["headers"] = [*message["headers"], (b"x-request-id", b"1")]
            await send(message)

        await self.app(scope, receive, sending)


app = FastAPI()
app.add_middleware(RequestId)
app.add_middleware(GZipMiddleware, minimum_size=1000)
app.add_middleware(CORSMiddleware, allow_origins=["*"])


async def numbers():
    for number in range(3):
        yield {"data": str(number)}
        await asyncio.sleep(0.01)


@app.get("/stream")
async def stream():
    return EventSourceResponse(numbers())
