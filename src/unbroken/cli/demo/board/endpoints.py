"""The whole of a live board. The page shows this code, read from this file."""

from __future__ import annotations

import inspect
from textwrap import dedent

from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from unbroken.hub import Hub
from unbroken.logs import Retention

__all__ = ["Board", "sources"]

CORS = {"Access-Control-Allow-Origin": "*"}
"""The board's server is on another port than the page, and so another origin."""


class Board:
    """One topic on SQLite: what it serves, and what it needs to."""

    def __init__(self, path: str) -> None:
        self.hub = Hub(f"sqlite:///{path}", retention=Retention(max_events=1000), max_event_bytes=4096)

    def routes(self) -> list[Route]:
        """Return what the server answers."""
        return [
            Route("/events", self.events),
            Route("/cards", self.post, methods=["POST"]),
            Route("/forget", self.forget, methods=["POST"]),
        ]

    async def events(self, request: Request) -> Response:
        """Stream the board: all of it, or what this tab has not seen."""
        return self.hub.response(
            request,
            "board",
            public=True,
            after="earliest",
            retry=1000,
            headers=CORS,
        )

    async def post(self, request: Request) -> Response:
        """Publish a card, once for its key."""
        card = (await request.body()).decode()
        position = await self.hub.publish(
            "board",
            card,
            event="card",
            key=request.query_params["key"],
        )
        return PlainTextResponse(str(position), headers=CORS)

    async def forget(self, request: Request) -> Response:
        """Keep the newest cards, drop all others."""
        dropped = await self.hub.trim("board", Retention(max_events=2))
        return PlainTextResponse(str(dropped), headers=CORS)


def sources() -> list[str]:
    """Return the code of what the page uses."""
    return [dedent(inspect.getsource(part)) for part in (Board.events, Board.post, Board.forget)]
