"""A dependency that is closed when the endpoint returns, before the stream begins."""

import asyncio
from typing import Annotated

from fastapi import Depends, FastAPI
from sse_starlette.sse import EventSourceResponse

app = FastAPI()


async def get_session():
    session = {"user": "ada"}
    try:
        yield session
    finally:
        session.clear()


@app.get("/stream")
async def stream(session: Annotated[dict, Depends(get_session, scope="function")]):
    user = session["user"]

    async def events():
        for number in range(3):
            yield {"data": f"{user} {number}"}
            await asyncio.sleep(0.01)

    return EventSourceResponse(events())
