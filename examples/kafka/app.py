"""The states of orders, which another system writes to Kafka, as event streams. `bridge.py` brings them here."""

import os

from fastapi import FastAPI
from fastapi.requests import Request

from unbroken import Hub
from unbroken.hub import Retention

WEEK = 7 * 86_400

hub = Hub(
    os.environ.get("HUB_URL", "sqlite:///orders.db"),
    # A record that is published again is known by its key for so long: longer than the bridge is ever down.
    retention=Retention(max_age=WEEK, key_age=WEEK),
)
app = FastAPI(lifespan=hub.lifespan)


@app.get("/orders/{number}/events")
async def events(request: Request, number: int):
    return hub.response(request, f"order:{number}", public=True, backlog=10)  # yours: authorize=
