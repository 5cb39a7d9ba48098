"""Dependencies that hold nothing: a value, and a class."""

import asyncio
from typing import Annotated

from fastapi import Depends, FastAPI, Query
from sse_starlette.sse import EventSourceResponse

app = FastAPI()


class Page:
    def __init__(self, size: Annotated[int, Query(le=100)] = 3):
        self.size = size


def get_topic(topic: str = "news") -> str:
    return topic


@app.get("/stream")
async def stream(page: Annotated[Page, Depends()], topic: str = Depends(get_topic)):
    async def events():
        for number in range(page.size):
            yield {"event": topic, "data": str(number)}
            await asyncio.sleep(0.01)

    return EventSourceResponse(events())
