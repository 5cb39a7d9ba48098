"""What the tests of the status page share: streams made by hand, and a real server."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Hashable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import uvicorn
from starlette.applications import Starlette
from starlette.routing import BaseRoute, Mount

from unbroken import CloseReason
from unbroken.observe import Cleanup, Finding, Hop, OpenStream, Refusal, StreamRecord, detach
from unbroken.observe.roster import enter, leave
from unbroken.status import StatusPage

DEADLINE = 20.0
FIRST_ID = 10**9
"""Of the streams made by hand: real ones of the same process count from 1."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Open:
    """An open stream that never changes."""

    id: int = FIRST_ID
    method: str = "GET"
    path: str = "/rooms/7/events"
    route: str | None = "/rooms/{room}/events"
    client: str | None = "192.0.2.1:5000"
    key: Hashable = "a secret key"
    guarded: bool = False
    opened_at: float = 1_700_000_000.0
    reason: CloseReason | None = None
    events: int = 7
    heartbeats: int = 3
    sent_bytes: int = 1000
    aged: float = 90.0
    silent: float = 4.5

    def age(self) -> float:
        return self.aged

    def silence(self) -> float:
        return self.silent


@contextmanager
def entered(*streams: OpenStream) -> Iterator[None]:
    """Have the streams open inside."""
    for stream in streams:
        enter(stream)
    try:
        yield
    finally:
        for stream in streams:
            leave(stream)


def many(number: int) -> list[Open]:
    """Make open streams, each with an id, a path and a client of its own."""
    return [
        Open(id=FIRST_ID + 1 + at, path=f"/rooms/{at}/events", client=f"192.0.2.{at % 250}:{20000 + at}", events=at)
        for at in range(number)
    ]


def record(reason: CloseReason = CloseReason.COMPLETED, duration: float = 12.5) -> StreamRecord:
    """Make the record of an end."""
    return StreamRecord(
        id=1,
        reason=reason,
        method="GET",
        path="/rooms/7/events",
        route="/rooms/{room}/events",
        client="192.0.2.1:5000",
        opened_at=1_700_000_000.0,
        duration=duration,
        first_byte=0.25,
        longest_silence=4.0,
        last_silence=1.5,
        events=7,
        discarded=0,
        heartbeats=3,
        sent_bytes=1000,
        cleanup=Cleanup.FINISHED,
    )


def refusal(limit: str = "total", path: str = "/rooms/7/events") -> Refusal:
    """Make a refusal."""
    return Refusal(
        limit=limit,
        allowed=5,
        method="GET",
        path=path,
        route="/rooms/{room}/events",
        client="192.0.2.1:5000",
        key="a secret key",
    )


def finding(seconds: float = 60.0, route: str | None = "/rooms/{room}/events", streams: int = 9) -> Finding:
    """Make a finding."""
    return Finding(
        counts=Hop.SILENCE,
        seconds=seconds,
        streams=streams,
        looked_at=10,
        route=route,
        likely="nginx (proxy_read_timeout)",
        advice="Set heartbeat=25, below half of 60 s.",
    )


@contextmanager
def made(**options: Any) -> Iterator[StatusPage]:
    """Make a page, and have it count no more afterwards."""
    page = StatusPage(**options)
    try:
        yield page
    finally:
        detach(page.history)


def mounted(page: StatusPage, *routes: BaseRoute, **options: Any) -> Starlette:
    """Return an application with the page at `/streams`."""
    return Starlette(routes=[*routes, Mount("/streams", page)], **options)


@contextmanager
def serving(app: Any, port: int = 0, **options: Any) -> Iterator[str]:
    """Serve `app` by uvicorn, in a thread, and give its URL."""
    config = uvicorn.Config(
        app, port=port, log_level="critical", lifespan="off", timeout_graceful_shutdown=1, **options
    )
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        wait_for(lambda: server.started or not thread.is_alive())
        yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join(DEADLINE)
        assert not thread.is_alive()


def wait_for(condition: Callable[[], object]) -> None:
    """Wait until the condition holds."""
    deadline = time.monotonic() + DEADLINE
    while not condition():
        assert time.monotonic() < deadline, "it did not come true in time"
        time.sleep(0.01)
