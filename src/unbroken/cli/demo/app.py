"""The demo application: two kinds of stream to hurt, one that reports on them, and the page."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

from unbroken import EventSourceResponse, ServerSentEvent
from unbroken.cli.demo.board.process import BoardProcess
from unbroken.cli.demo.board.routes import board_routes
from unbroken.cli.demo.endpoints import RESPONSES, sources
from unbroken.cli.demo.ledger import Gauged, Ledger
from unbroken.cli.demo.story import Story
from unbroken.cli.demo.visits import Deed, Visit, Visits

__all__ = ["MAX_AGE", "demo_app"]

PAGE = Path(__file__).parent / "page"
REPORT_INTERVAL = 0.25
MAX_AGE = 30.0
"""Seconds that a stream of unbroken's may live: the last defence, and short enough to be watched."""

Endpoint = Callable[[Request], Awaitable[Response]]


def demo_app(visits: Visits, board: BoardProcess, max_age: float = MAX_AGE) -> Starlette:
    """Return the application; `visits` and `board` outlive it."""
    ledger = Ledger()
    return Starlette(
        routes=[
            Route("/visit", _visit(visits, ledger)),
            Route("/visit/{visitor}/{deed}", _do(visits), methods=["POST"]),
            Route("/story/{through}", _tell(visits, ledger, max_age)),
            *board_routes(board),
            Mount("/", StaticFiles(directory=PAGE, html=True)),
        ]
    )


def _visit(visits: Visits, ledger: Ledger) -> Endpoint:
    async def visit(request: Request) -> Response:
        return EventSourceResponse(_report(visits, ledger), dead_peer_timeout=None)

    return visit


async def _report(visits: Visits, ledger: Ledger) -> AsyncIterator[ServerSentEvent]:
    """Open a visit, which lasts as long as the page reads this, and say what the server knows."""
    async with visits.visit() as visit:
        yield ServerSentEvent(_welcome(visit), event="welcome", retry=1000)
        while True:
            yield ServerSentEvent(ledger.view(), event="streams")
            await asyncio.sleep(REPORT_INTERVAL)


def _welcome(visit: Visit) -> dict[str, Any]:
    return {"visitor": visit.name, "hop": visit.hop.port, "code": sources()}


def _tell(visits: Visits, ledger: Ledger, max_age: float) -> Endpoint:
    async def tell(request: Request) -> Response:
        visit = _open_visit(request.query_params.get("visitor", ""), visits)
        through = request.path_params["through"]
        if through not in RESPONSES:
            raise HTTPException(404)
        client = f"{request.client.host}:{request.client.port}" if request.client else "?"
        line = ledger.open(visit.name, through, request.url.path, client)
        story = Story(line, _told(request), max_age)
        visit.stories.append(story)
        return Gauged(RESPONSES[through](story), line)  # type: ignore[return-value]  # Starlette takes any ASGI app

    return tell


def _told(request: Request) -> int:
    """Return how far the reader has heard the story: a browser's own reconnection says it in its header."""
    last = request.headers.get("last-event-id") or request.query_params.get("after", "")
    return int(last) if last.isascii() and last.isdigit() and len(last) < 10 else 0


def _do(visits: Visits) -> Endpoint:
    async def do(request: Request) -> Response:
        visit = _open_visit(request.path_params["visitor"], visits)
        if request.path_params["deed"] not in set(Deed):
            raise HTTPException(404)
        visit.do(Deed(request.path_params["deed"]))
        return Response(status_code=204)

    return do


def _open_visit(name: str, visits: Visits) -> Visit:
    visit = visits.get(name)
    if visit is None:
        raise HTTPException(404, "that page is no longer open")
    return visit
