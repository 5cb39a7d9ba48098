"""The application that runs under every server: streams to break, and what can be observed of them."""

from __future__ import annotations

import gc
from collections.abc import Callable
from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response, StreamingResponse
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from unbroken import EventSourceResponse

from .census import census, open_peers
from .generators import GENERATORS, Source
from .probes import LOG, PROBES, LogKeeper, Probe, current_probe

__all__ = ["INSPECTION", "Watch", "app"]

# Whatever is freed while this runs is freed by its last reference. A generator that needs the collector
# keeps its resources for as long as the collector pleases.
gc.disable()
log_keeper = LogKeeper()


class Watch:
    """Outermost: opens a probe for each stream and notes how the application's call ends."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Run the application, with the probe's name in its context."""
        log_keeper.attach()  # the server may have configured its loggers after this module was imported
        name = scope["path"].rpartition("/")[2] if scope.get("path", "").startswith("/stream/") else None
        if name is None:
            await self.app(scope, receive, send)
        else:
            probe = PROBES[name] = Probe(name, int(scope["client"][1]))  # granian has it as text
            current_probe.set(name)
            await _noting_the_end(probe, self.app(scope, receive, send))


async def _noting_the_end(probe: Probe, call: Any) -> None:
    try:
        await call
        probe.asgi = "returned"
    except BaseException as exc:
        probe.asgi = f"raised {type(exc).__name__}"
        raise


async def stream(request: Request) -> Response:
    """Stream from the generator that the path names."""
    probe = PROBES[request.path_params["probe"]]
    size = int(request.query_params.get("size", "0"))
    probe.patience = float(request.query_params.get("patience", probe.patience))
    source = GENERATORS[request.path_params["kind"]](probe, size)
    probe.watch(source)
    return RESPONSES[request.query_params.get("response", "unbroken")](source, probe, request)


OURS = {"size", "patience", "response"}


def unbroken_response(source: Source, probe: Probe, request: Request) -> Response:
    """Answer with the package's response; every number in the query is an argument of it."""
    options: dict[str, Any] = {name: float(value) for name, value in request.query_params.items() if name not in OURS}
    return EventSourceResponse(source, on_close=probe.close, **options)


def starlette_response(source: Source, probe: Probe, _: Request) -> Response:
    """Answer with the framework's own streaming response: what the harness is tried on."""
    probe.template = "data: {}\n\n"
    return StreamingResponse(source, media_type="text/event-stream")  # type: ignore[arg-type]


RESPONSES: dict[str, Callable[[Source, Probe, Request], Response]] = {
    "unbroken": unbroken_response,
    "starlette": starlette_response,
}


async def health(_: Request) -> Response:
    """Answer at once: what any other user of the server wants."""
    return PlainTextResponse("well")


async def observed(request: Request) -> Response:
    """Say what every probe noted."""
    peers = _other_peers(request)
    return JSONResponse({name: probe.notes(peers) for name, probe in PROBES.items()})


async def observed_probe(request: Request) -> Response:
    """Say what one probe noted; nothing yet, where its request has not been taken up."""
    probe = PROBES.get(request.path_params["probe"])
    return JSONResponse({"records": []} if probe is None else probe.notes(_other_peers(request)))


def _other_peers(request: Request) -> set[int]:
    # The port of a client that has reset its connection is free at once, and may be the one that asks.
    assert request.client is not None
    return open_peers() - {int(request.client.port)}


async def taken(_: Request) -> Response:
    """Say what the process holds, and every line above INFO."""
    alive = sum(probe.generator is not None and probe.generator() is not None for probe in PROBES.values())
    return JSONResponse({**census(), "generators": alive, "log": LOG})


async def collect(_: Request) -> Response:
    """Run the collector, which finalises what only it can reach."""
    return JSONResponse({"collected": gc.collect()})


INSPECTION = [
    Route("/health", health),
    Route("/observed", observed),
    Route("/observed/{probe}", observed_probe),
    Route("/census", taken),
    Route("/collect", collect, methods=["POST"]),
]

app = Watch(Starlette(routes=[Route("/stream/{kind}/{probe}", stream), *INSPECTION]))
