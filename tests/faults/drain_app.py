"""The application whose server is shut down: it prints how each of its streams ended, and that it did itself."""

from __future__ import annotations

import asyncio
import logging
import os
import sys
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from unbroken import EventSourceResponse, ServerClosing, while_connected
from unbroken.observe import StreamRecord, open_streams

from .generators import GENERATORS
from .probes import Probe
from .shutdowns import FAREWELL, LIFESPAN_ENDED

__all__ = ["app"]

# Lines of the package, and what nobody handles, with their levels.
logging.basicConfig(level=logging.INFO, format="%(levelname)s %(name)s: %(message)s")


async def parting(probe: Probe, size: int) -> AsyncGenerator[object, None]:
    """Wait, and say farewell when the server closes."""
    try:
        async with while_connected():
            yield probe.item(size)
            await asyncio.Event().wait()
    except ServerClosing:
        yield FAREWELL
    finally:
        await probe.clean_up()


async def lingering(probe: Probe, size: int) -> AsyncGenerator[object, None]:
    """Clean up for a minute."""
    try:
        yield probe.item(size)
        await asyncio.Event().wait()
    finally:
        await asyncio.sleep(60)


async def resisting(probe: Probe, size: int) -> AsyncGenerator[object, None]:
    """Swallow whatever is to end it."""
    while True:
        try:
            yield probe.item(size)
            await asyncio.sleep(60)
        except BaseException as exc:
            probe.saw(exc)


KINDS = {**GENERATORS, "parting": parting, "lingering": lingering, "resisting": resisting}


OURS = {"size", "after"}


async def stream(request: Request) -> Response:
    """Stream from the generator that the path names, `after` some seconds; other numbers are the response's."""
    say("asked")
    await asyncio.sleep(float(request.query_params.get("after", "0")))
    kind = request.path_params["kind"]
    probe = Probe(kind, 0)

    def close(record: StreamRecord) -> None:
        say(f"ended {kind} {record.reason.value} {record.cleanup.value} {probe.finally_done}")

    options: dict[str, Any] = {name: float(value) for name, value in request.query_params.items() if name not in OURS}
    source = KINDS[kind](probe, int(request.query_params.get("size", "0")))
    return EventSourceResponse(source, on_close=close, **options)


def say(line: str) -> None:
    """Write a line in one piece: several workers share the file."""
    sys.stdout.write(f"{line}\n")


async def health(_: Request) -> Response:
    """Answer at once."""
    return PlainTextResponse("well")


async def process(_: Request) -> Response:
    """Say which process answers."""
    return PlainTextResponse(str(os.getpid()))


async def sent(_: Request) -> Response:
    """Say how many bytes the streams have handed to the server."""
    return PlainTextResponse(str(sum(stream.sent_bytes for stream in open_streams())))


@asynccontextmanager
async def lifespan(_: Starlette) -> AsyncIterator[None]:
    """Say that the application has been told of its end, which is the server's last word to it."""
    yield
    say(LIFESPAN_ENDED)


app = Starlette(
    lifespan=lifespan,
    routes=[
        Route("/stream/{kind}", stream),
        Route("/health", health),
        Route("/process", process),
        Route("/sent", sent),
    ],
)
