"""A session that the generator itself keeps open between its queries."""

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
    async with async_session() as session:  # expect: SSE010
        while True:
            yield {"data": str(await session.newest())}
            await asyncio.sleep(0.02)


@app.get("/stream")
async def stream():
    return EventSourceResponse(rows())
