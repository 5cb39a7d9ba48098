"""The same helper in a thread: the event loop goes on."""

import asyncio

import requests
from fastapi import FastAPI
from sse_starlette.sse import EventSourceResponse

app = FastAPI()


def price(symbol: str) -> str:
    try:
        return requests.get(f"http://127.0.0.1:9/{symbol}", timeout=0.1).text
    except requests.ConnectionError:
        return "unknown"


async def prices():
    while True:
        yield {"event": "price", "data": await asyncio.to_thread(price, "abc")}
        await asyncio.sleep(0.02)


@app.get("/stream")
async def stream():
    return EventSourceResponse(prices())
