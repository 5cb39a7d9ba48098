"""Streams made by hand, and a run of real ones, of which every number is known."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Hashable, Iterator
from dataclasses import dataclass

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.routing import Route

from unbroken import CloseReason, EventSourceResponse
from unbroken.observe import Cleanup, Finding, Hop, Observer, Refusal, StreamRecord, attach, detach
from unbroken.testing import open_stream, run_with_virtual_clock

ROUTE = "/rooms/{room}/events"


@dataclass(frozen=True, slots=True, kw_only=True)
class Opened:
    """An open stream."""

    id: int = 1
    method: str = "GET"
    path: str = "/rooms/7/events"
    route: str | None = ROUTE
    client: str | None = "192.0.2.1:5000"
    key: Hashable = "somebody"
    guarded: bool = False
    opened_at: float = 1_700_000_000.0
    reason: CloseReason | None = None
    events: int = 0
    heartbeats: int = 0
    sent_bytes: int = 0

    def age(self) -> float:
        return 0.0

    def silence(self) -> float:
        return 0.0


def record(
    stream_id: int = 1,
    *,
    reason: CloseReason = CloseReason.COMPLETED,
    route: str | None = ROUTE,
    first_byte: float | None = 0.25,
    cleanup: Cleanup = Cleanup.FINISHED,
    error: BaseException | None = None,
) -> StreamRecord:
    """Make the record of a stream of 12.5 s with 7 events, 2 discarded, 3 heartbeats and 1000 bytes."""
    return StreamRecord(
        id=stream_id,
        reason=reason,
        method="GET",
        path="/rooms/7/events",
        route=route,
        client="192.0.2.1:5000",
        key="somebody",
        opened_at=1_700_000_000.0,
        duration=12.5,
        first_byte=first_byte,
        longest_silence=4.0,
        last_silence=1.5,
        events=7,
        discarded=2,
        heartbeats=3,
        sent_bytes=1000,
        cleanup=cleanup,
        error=error,
    )


def refusal(limit: str = "total", route: str | None = ROUTE) -> Refusal:
    """Make a refusal."""
    return Refusal(
        limit=limit, allowed=5, method="GET", path="/rooms/7/events", route=route, client="192.0.2.1:5000", key=None
    )


def finding(seconds: float, route: str | None = ROUTE, counts: Hop = Hop.SILENCE) -> Finding:
    """Make a finding."""
    return Finding(
        counts=counts, seconds=seconds, streams=9, looked_at=10, route=route, likely="nginx", advice="heartbeat=25"
    )


def play(observer: Observer) -> None:
    """Tell of four streams, one of them still open, of two refusals, and of a hop seen twice."""
    for stream_id in (1, 2, 3):
        observer.opened(Opened(id=stream_id))
    observer.opened(Opened(id=4, route=None))
    observer.closed(record(1))
    observer.closed(record(2, reason=CloseReason.PRODUCER_ERROR, error=ValueError("no"), first_byte=None))
    observer.closed(record(4, reason=CloseReason.CLIENT_CLOSED, route=None, cleanup=Cleanup.CANCELLED))
    observer.refused(refusal("total"))
    observer.refused(refusal("key"))
    observer.found(finding(30.0))
    observer.found(finding(60.0))


@contextlib.contextmanager
def attached(*observers: Observer) -> Iterator[None]:
    """Have the observers told of streams inside."""
    for observer in observers:
        attach(observer)
    try:
        yield
    finally:
        for observer in observers:
            detach(observer)


HEARTBEATS = 2
"""Of each stream whose client stays for 40 s of virtual time, with a heartbeat of 15 s."""
EVENTS = {"short": 3, "broken": 1, "endless": 2}
STREAMS = {"short": 2, "broken": 1, "endless": 3}


async def _events(room: str) -> AsyncIterator[str]:
    for _ in range(EVENTS[room]):
        yield "x"
    if room == "broken":
        raise ValueError("no")
    if room == "endless":
        await asyncio.Event().wait()


async def _endpoint(request: Request) -> EventSourceResponse:
    return EventSourceResponse(_events(request.path_params["room"]), heartbeat=15.0)


APP = Starlette(routes=[Route(ROUTE, _endpoint)])


def run_real_streams(observer: Observer, while_open: Callable[[], None]) -> int:
    """Run `STREAMS` to their ends and return the bytes that their clients read.

    Calls `while_open` when those that are endless, and no others, are open.
    """
    with attached(observer):
        return run_with_virtual_clock(_run_real_streams(while_open))


async def _run_real_streams(while_open: Callable[[], None]) -> int:
    received = 0
    for room in ("short", "short", "broken"):
        async with open_stream(APP, f"/rooms/{room}/events", raise_app_errors=False) as stream:
            await stream.until_end()
            received += len(stream.received)
    async with contextlib.AsyncExitStack() as stack:
        opened = [await stack.enter_async_context(open_stream(APP, "/rooms/endless/events")) for _ in range(3)]
        await asyncio.sleep(40)
        while_open()
        received += sum(len(stream.received) for stream in opened)
    return received
