"""The application of the matrix again: other libraries, unmodified, make its streams, under `EventStreamGuard`."""

from __future__ import annotations

import inspect
import logging
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator
from contextlib import aclosing, asynccontextmanager
from typing import Any
from urllib.parse import parse_qsl

import fastapi.sse
import sse_starlette
from fastapi import FastAPI
from mcp.server.mcpserver import Context, MCPServer
from mcp.server.transport_security import TransportSecuritySettings
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from unbroken import EventStreamGuard
from unbroken.observe import StreamRecord

from .app import INSPECTION, Watch
from .generators import GENERATORS, UNSCOPED, Source
from .probes import PROBES

__all__ = ["app"]

TAKEN_BY_THE_STREAM = {"size", "patience"}


class Guards:
    """Puts a stream under a guard with the arguments that its query gives."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app
        self._guards: dict[str, ASGIApp] = {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Run the application under the guard: also the requests that are no streams."""
        query = scope.get("query_string", b"").decode()
        if query not in self._guards:
            self._guards[query] = EventStreamGuard(self.app, on_close=_note, **_options(query))
        await self._guards[query](scope, receive, send)


def _options(query: str) -> dict[str, Any]:
    return {name: float(value) for name, value in parse_qsl(query) if name not in TAKEN_BY_THE_STREAM}


def _note(record: StreamRecord) -> None:
    PROBES[record.path.rpartition("/")[2]].close(record)


def _begin(kind: str, probe: str, size: int, patience: float | None) -> Source:
    notes = PROBES[probe]
    notes.patience = notes.patience if patience is None else patience
    source = GENERATORS[kind](notes, size)
    notes.watch(source)
    return source


def _begin_for(request: Request) -> Source:
    path, query = request.path_params, request.query_params
    patience = query.get("patience")
    return _begin(path["kind"], path["probe"], int(query.get("size", "0")), float(patience) if patience else None)


async def by_starlette(request: Request) -> Response:
    """Stream with the framework's own response, which takes wire text."""
    PROBES[request.path_params["probe"]].template = "data: {}\n\n"
    return StreamingResponse(_begin_for(request), media_type="text/event-stream")  # type: ignore[arg-type]


async def by_sse_starlette(request: Request) -> Response:
    """Stream with sse-starlette's response, which takes data."""
    return sse_starlette.EventSourceResponse(_begin_for(request))


def by_fastapi(kind: str) -> Callable[..., Any]:
    """Return a path operation that yields, as fastapi.sse wants it."""

    def stream(probe: str, size: int = 0, patience: float | None = None) -> Source:
        return _begin(kind, probe, size, patience)

    # FastAPI looks behind a decorated path operation for what it is, so that it drives the generator itself.
    stream.__signature__ = inspect.signature(stream)  # type: ignore[attr-defined]
    stream.__wrapped__ = GENERATORS[kind]  # type: ignore[attr-defined]
    return stream


mcp_server: MCPServer[None] = MCPServer("faults")
# The SDK gives the root logger a handler that draws each traceback for half a second, in which no stream moves.
logging.root.handlers.clear()


@mcp_server.tool()
async def stream(kind: str, probe: str, size: int, patience: float | None, context: Context) -> str:
    """Report each item as progress."""
    source = _begin(kind, probe, size, patience)
    assert isinstance(source, AsyncGenerator)
    async with aclosing(source):
        async for item in source:
            await context.report_progress(PROBES[probe].items, message=str(item))
    return "done"


mcp_app = mcp_server.streamable_http_app(
    streamable_http_path="/stream/mcp-{era}/{kind}/{probe}",
    stateless_http=True,
    transport_security=TransportSecuritySettings(enable_dns_rebinding_protection=False),
)


@asynccontextmanager
async def lifespan(_: FastAPI) -> AsyncIterator[None]:
    """Run what the MCP server needs; daphne, which has no lifespan, cannot serve it."""
    async with mcp_server.session_manager.run():
        yield


def _routes() -> Iterator[Any]:
    yield Route("/stream/starlette/{kind}/{probe}", by_starlette)
    yield Route("/stream/sse-starlette/{kind}/{probe}", by_sse_starlette)
    yield from mcp_app.routes
    yield from INSPECTION


site = FastAPI(lifespan=lifespan, routes=list(_routes()))
for each in UNSCOPED:
    path = f"/stream/fastapi/{each}/{{probe}}"
    site.get(path, response_class=fastapi.sse.EventSourceResponse, response_model=None)(by_fastapi(each))

app = Watch(Guards(site))
