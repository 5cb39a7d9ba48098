"""What the demo itself answers for the board's page: who it is, how the server is, and what to do to either."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from unbroken import EventSourceResponse, ServerSentEvent
from unbroken.cli.demo.board.endpoints import sources
from unbroken.cli.demo.board.process import BoardProcess
from unbroken.cli.demo.board.visits import Tab, TabDeed, Tabs

__all__ = ["board_routes"]

REPORT_INTERVAL = 0.2

Endpoint = Callable[[Request], Awaitable[Response]]


def board_routes(process: BoardProcess) -> list[Route]:
    """Return the routes beneath `/board`; the pages' files are served by others."""
    tabs = Tabs()
    return [
        Route("/board/tab", _tab(process, tabs)),
        Route("/board/tab/{tab}/published", _published(tabs), methods=["POST"]),
        Route("/board/tab/{tab}/{deed}", _do(process, tabs), methods=["POST"]),
    ]


def _tab(process: BoardProcess, tabs: Tabs) -> Endpoint:
    async def tab(request: Request) -> Response:
        process.start()
        return EventSourceResponse(_report(process, tabs), dead_peer_timeout=None)

    return tab


async def _report(process: BoardProcess, tabs: Tabs) -> AsyncIterator[ServerSentEvent]:
    """Open a tab, which lasts as long as its page reads this, and say what is new: of the server, and published."""
    async with tabs.tab(process.port) as tab:
        told, known = len(tabs.published), None
        yield ServerSentEvent(_welcome(tab, process), event="welcome", retry=1000)
        while True:
            if (server := {"pid": process.pid, "starts": process.starts}) != known:
                known = server
                yield ServerSentEvent(server, event="server")
            if news := tabs.published[told:]:
                told += len(news)
                yield ServerSentEvent(news, event="published")
            await asyncio.sleep(REPORT_INTERVAL)


def _welcome(tab: Tab, process: BoardProcess) -> dict[str, Any]:
    return {"tab": tab.name, "letter": tab.letter, "hop": tab.hop.port, "server": process.port, "code": sources()}


def _published(tabs: Tabs) -> Endpoint:
    async def published(request: Request) -> Response:
        _open_tab(request, tabs)
        tabs.note(request.query_params.get("key", ""))
        return Response(status_code=204)

    return published


def _do(process: BoardProcess, tabs: Tabs) -> Endpoint:
    async def do(request: Request) -> Response:
        tab, deed = _open_tab(request, tabs), request.path_params["deed"]
        if deed not in set(TabDeed):
            raise HTTPException(404)
        {TabDeed.CUT: tab.cut, TabDeed.MEND: tab.mend, TabDeed.KILL: process.kill}[TabDeed(deed)]()
        return Response(status_code=204)

    return do


def _open_tab(request: Request, tabs: Tabs) -> Tab:
    tab = tabs.get(request.path_params["tab"])
    if tab is None:
        raise HTTPException(404, "that tab is no longer open")
    return tab
