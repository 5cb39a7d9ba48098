"""A session for each query, closed before the event is sent."""

import asyncio
from contextlib import asynccontextmanager

from fastapi import FastAPI
from sse_starlette.sse import EventSourceResponse

app = FastAPI()


class Session:
    async def newest(self) -> int:
        return 1


@asynccontextmanager
async def async_session():
    yield Session()


async def rows():
    while True:
        async with async_session() as session:
            newest = await session.newest()
        yield {"data": str(newest)}
        await asyncio.sleep(0.02)


@app.get("/stream")
async def stream():
    return EventSourceResponse(rows())
