"""What is seen in the head of an answer."""

from __future__ import annotations

from types import ModuleType

from unbroken.testing import AppStillRunningError, DeadlineError, open_stream

from .support import Look, Probe, in_virtual_time

__all__ = ["PROBES"]


def header(name: str) -> Look:
    """Look at one header of the answer."""

    async def look(module: ModuleType) -> str:
        async with open_stream(module.app, "/stream") as stream:
            return stream.headers.get(name, "missing")

    return in_virtual_time(look)


async def headers_for_hops(module: ModuleType) -> str:
    """See which of the two headers are there."""
    async with open_stream(module.app, "/stream") as stream:
        return ", ".join(name for name in ("cache-control", "x-accel-buffering") if name in stream.headers)


async def answer_to_head(module: ModuleType) -> str:
    """Ask with HEAD, as a monitor does, which waits ten seconds."""
    try:
        async with open_stream(module.app, "/stream", method="HEAD") as stream:
            await stream.until_end(timeout=10)
            return f"{stream.ended}, {len(module.started)} started"
    except (DeadlineError, AppStillRunningError):
        return f"endless, {len(module.started)} started"


PROBES = {
    "missing-headers": Probe(in_virtual_time(headers_for_hops), "", "cache-control, x-accel-buffering"),
    "connection-header": Probe(header("connection"), "keep-alive", "missing"),
    "not-an-event-stream": Probe(header("content-type"), "missing", "text/event-stream; charset=utf-8"),
    "head-request": Probe(in_virtual_time(answer_to_head), "endless, 1 started", "complete, 0 started"),
}
