"""The application of the servers under test: it publishes what it is told, and streams what it is asked for."""

from __future__ import annotations

import asyncio
import json
import os
from collections import Counter
from pathlib import Path
from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from tests.faults.census import census
from unbroken import Hub
from unbroken.errors import LogUnavailable
from unbroken.logs import Log, Retention
from unbroken.observe import StreamRecord

from .meddling import MeddledLog
from .witness import WitnessLog

__all__ = ["DATABASE", "KEPT", "WITNESS", "app", "hub"]

DATABASE = "UNBROKEN_TEST_DATABASE"
"""The environment variable with the log's URL; a log in memory that can be meddled with, if it is not there."""
WITNESS = "UNBROKEN_TEST_WITNESS"
"""The one with the folder in which is written down what the log has, where that cannot be asked afterwards."""
KEPT = "UNBROKEN_TEST_KEPT"
"""The one with the number of events that a topic keeps."""

NUMBERS = {"max_lag", "backlog", "heartbeat", "send_timeout", "drain_grace"}


def _log() -> str | Log:
    url, folder = os.environ.get(DATABASE), os.environ.get(WITNESS)
    if url and folder:
        return WitnessLog(url, Path(folder))
    return url or MeddledLog()


log = _log()
ended: Counter[str] = Counter()
"""Streams that have ended, by reason."""
hub = Hub(log, retention=Retention(max_events=int(os.environ.get(KEPT, "10000"))))


async def publish(request: Request) -> Response:
    """Publish all of a JSON list of topic, key and data; answer with the positions."""
    wanted = json.loads(await request.body())
    try:
        positions = await asyncio.gather(*(hub.publish(topic, data, key=key) for topic, key, data in wanted))
    except LogUnavailable as exc:
        return PlainTextResponse(str(exc), 503)
    return JSONResponse([str(position) for position in positions])


async def events(request: Request) -> Response:
    """Stream the topics that the query names, with its other values as the response's options."""
    options: dict[str, Any] = {name: _value(name, text) for name, text in request.query_params.items()}
    options.pop("topic", None), options.pop("last_event_id", None)
    topics = request.query_params.getlist("topic")
    return hub.response(request, *topics, public=True, on_close=_note_end, **options)


def _note_end(record: StreamRecord) -> None:
    ended[record.reason] += 1


def _value(name: str, text: str) -> Any:
    return json.loads(text) if name in NUMBERS else text


async def trim(request: Request) -> Response:
    """Keep so many events of a topic."""
    kept = Retention(max_events=int(request.query_params["keep"]))
    try:
        return PlainTextResponse(str(await hub.trim(request.query_params["topic"], kept)))
    except LogUnavailable as exc:
        return PlainTextResponse(str(exc), 503)


async def meddle(request: Request) -> Response:
    """Take back the newest events of a topic, or lose all of it, behind the hub's back."""
    assert isinstance(log, MeddledLog)
    topic, count = request.query_params["topic"], int(request.query_params["count"])
    if count < 0:
        log.lose(topic)
    else:
        log.take_back(topic, count, json.loads(await request.body()))
    return PlainTextResponse("done")


async def truth(_: Request) -> Response:
    """Answer with all that the log in memory ever had."""
    assert isinstance(log, MeddledLog)
    return JSONResponse(log.truth.as_rows())


async def stats(_: Request) -> Response:
    """Answer with what the hub counts, and what this process holds."""
    counted = hub.stats()
    engine = hub._home.engine
    engine = hub._home.engine
    users = {} if engine is None else {topic.name: topic.users for topic in engine.topics}
    rss = next(int(line.split()[1]) for line in _status() if line.startswith("VmRSS"))
    own = {name: getattr(counted, name) for name in counted.__slots__}
    return JSONResponse(
        {**own, "users": users, "ended": ended, "rss": rss, **census()}, headers={"connection": "close"}
    )


def _status() -> list[str]:
    with open("/proc/self/status") as status:  # noqa: PTH123 - one read
        return status.readlines()


async def health(_: Request) -> Response:
    """Answer at once."""
    return PlainTextResponse("well")


app = Starlette(
    lifespan=hub.lifespan,
    routes=[
        Route("/publish", publish, methods=["POST"]),
        Route("/events", events),
        Route("/trim", trim, methods=["POST"]),
        Route("/meddle", meddle, methods=["POST"]),
        Route("/truth", truth),
        Route("/stats", stats),
        Route("/health", health),
    ],
)
