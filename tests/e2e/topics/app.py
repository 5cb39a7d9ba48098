"""Topics for a browser to read; the hub's place is in the environment."""

from __future__ import annotations

import os
from collections import Counter

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.routing import Route

from unbroken import Hub
from unbroken.hub import Retention

hub = Hub(os.environ["HUB"], retention=Retention(max_events=10))
asked: Counter[str] = Counter()


async def page(request: Request) -> Response:
    """Return a page with nothing on it."""
    return HTMLResponse("<!doctype html><link rel=icon href=data:,><title>topics</title>")


async def events(request: Request) -> Response:
    """Stream a topic; nobody may read `secret`."""
    topic = request.path_params["topic"]
    asked[topic] += 1
    return hub.response(request, topic, authorize=lambda request, topic: topic != "secret", retry=100)


async def publish(request: Request) -> Response:
    """Publish the numbers from `first` to `last`."""
    topic, query = request.path_params["topic"], request.query_params
    for number in range(int(query["first"]), int(query["last"]) + 1):
        await hub.publish(topic, number)
    return Response(status_code=204)


async def close(request: Request) -> Response:
    """Publish the topic's last event."""
    await hub.publish(request.path_params["topic"], "the end", close=True)
    return Response(status_code=204)


async def count(request: Request) -> Response:
    """Say how often each topic was asked for, whatever the answer was."""
    return JSONResponse(asked)


app = Starlette(
    routes=[
        Route("/", page),
        Route("/asked", count),
        Route("/{topic}", events),
        Route("/{topic}", publish, methods=["POST"]),
        Route("/{topic}/close", close, methods=["POST"]),
    ],
    lifespan=hub.lifespan,
)
