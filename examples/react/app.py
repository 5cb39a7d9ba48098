"""Prices with React and the browser's own EventSource; there is nothing to build."""

import asyncio
import random
from contextlib import asynccontextmanager
from pathlib import Path

from fastapi import FastAPI
from fastapi.requests import Request
from fastapi.staticfiles import StaticFiles

from unbroken import Hub
from unbroken.hub import Retention

PAGE = Path(__file__).parent / "page"

hub = Hub("memory://", retention=Retention(max_events=1000))


@asynccontextmanager
async def lifespan(app: FastAPI):
    async with hub, asyncio.TaskGroup() as tasks:
        market = tasks.create_task(trade())
        yield
        market.cancel()


app = FastAPI(lifespan=lifespan)


async def trade():
    number = 0
    while True:
        number += 1
        await hub.publish("prices", {"number": number, "price": round(random.uniform(90, 110), 2)}, event="price")
        await asyncio.sleep(0.25)


@app.get("/events")
async def events(request: Request):
    return hub.response(request, "prices", public=True, backlog=5, retry=1000)


app.mount("/", StaticFiles(directory=PAGE, html=True))
