"""FastAPI's own event stream, typed and finite."""

import asyncio
from collections.abc import AsyncIterable

from fastapi import FastAPI
from fastapi.sse import EventSourceResponse
from pydantic import BaseModel

app = FastAPI()


class Price(BaseModel):
    symbol: str
    cents: int


@app.get("/stream", response_class=EventSourceResponse)
async def prices() -> AsyncIterable[Price]:
    for cents in (100, 101, 99):
        yield Price(symbol="ABC", cents=cents)
        await asyncio.sleep(0.01)
