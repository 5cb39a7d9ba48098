"""`requests` in a helper that an asynchronous generator calls."""

import asyncio

import requests
from fastapi import FastAPI
from sse_starlette.sse import EventSourceResponse

app = FastAPI()


def price(symbol: str) -> str:
    try:
        return requests.get(f"http://127.0.0.1:9/{symbol}", timeout=0.1).text  # expect: SSE007
    except requests.ConnectionError:
        return "unknown"


async def prices():
    while True:
        yield {"event": "price", "data": price("abc")}
        await asyncio.sleep(0.02)


@app.get("/stream")
async def stream():
    return EventSourceResponse(prices())
