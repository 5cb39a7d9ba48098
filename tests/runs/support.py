"""What the tests of runs share: processes that are none, readers, and what a run's topic holds."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any, TypeVar

from starlette.requests import Request

from tests.hub.support import OddLog, run, until
from unbroken import Hub
from unbroken.hub.engine import Engine
from unbroken.logs import Appended, Draft
from unbroken.runs import Run, Runs
from unbroken.runs.names import DATA
from unbroken.testing import open_stream
from unbroken.wire import DecodedEvent, Decoder

__all__ = [
    "DEATH",
    "LEASE",
    "Door",
    "LosingLog",
    "WallClock",
    "counted",
    "engine_of",
    "kill",
    "kinds",
    "log_of",
    "open_door",
    "opened",
    "run",
    "run_for_real",
    "texts",
    "told",
    "two_of",
    "until",
    "until_gone",
]

T = TypeVar("T")

LEASE = 15.0
DEATH = 2 * LEASE
"""Seconds in which a death is noticed, and what it left is ended."""


@asynccontextmanager
async def opened(hub: Hub | None = None, **options: Any) -> AsyncIterator[Runs]:
    """Open runs over a hub in memory, with the defaults of a user."""
    async with Runs(hub or Hub("memory://"), **options) as runs:
        yield runs


@asynccontextmanager
async def two_of(url: str | None = None, **options: Any) -> AsyncIterator[tuple[Runs, Runs]]:
    """Open two `Runs` that see the same topics, as two processes do: over one hub, or over a file with a hub each."""
    async with AsyncExitStack() as stack:
        shared = Hub(OddLog()) if url is None else None
        if shared is not None:
            await stack.enter_async_context(shared)
        pair = [Runs(shared or Hub(str(url)), **options) for _ in range(2)]
        for runs in pair:
            await stack.enter_async_context(runs)
        yield pair[0], pair[1]


def run_for_real(main: Callable[[str], Coroutine[Any, Any, T]], tmp_path: Path) -> T:
    """Run with the URL of a new file, on a clock that goes: SQLite works in threads of its own."""
    return asyncio.run(main(f"sqlite:///{tmp_path / 'runs.db'}"))


def engine_of(runs: Runs) -> Engine:
    """Return the engine of the hub of open runs."""
    engine = runs._hub._home.engine
    assert engine is not None
    return engine


def log_of(runs: Runs) -> Any:
    """Return the log of the hub of open runs."""
    return engine_of(runs).log


def kill(runs: Runs, *, producers: bool = True) -> None:
    """Have a process fall silent as if it were killed, or, with its producers going on, as if it were suspended."""
    works = runs._works
    assert works is not None
    tasks = [*(works._tasks - works._starts), works._lease._task]
    if producers:
        tasks += [production.task for production in works._productions.values()]
    for task in tasks:
        assert task is not None
        task.cancel()
    works.index.on_change = lambda record: None
    if works.index._topic is not None:
        works.index._topic.followers.discard(works.index)


class Door:
    """A route that streams one run, to whoever comes: an ASGI application."""

    def __init__(self, runs: Runs, name: str, **options: Any) -> None:
        self._runs = runs
        self._id = name
        self._options = options

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        response = await self._runs.response(self._id, Request(scope, receive), **self._options)
        await response(scope, receive, send)


def open_door(runs: Runs, run: Run | str, cursor: str | None = None, query: str = "", **options: Any) -> Any:
    """Open a run's stream as a client does, with deadlines that a virtual clock can afford."""
    headers = {} if cursor is None else {"last-event-id": cursor}
    name = run if isinstance(run, str) else run.id
    return open_stream(Door(runs, name, **options), headers=headers, query=query, timeout=1000.0)


async def told(runs: Runs, run: Run | str) -> list[DecodedEvent]:
    """Return what a run's topic holds."""
    name = run if isinstance(run, str) else run.id
    page = await engine_of(runs).log.read(DATA + name, 0, 100_000)
    return Decoder().feed(b"".join(entry.payload + b"\n" for entry in page.entries))


def kinds(events: list[DecodedEvent]) -> list[str]:
    """Return the types of events, without the control events."""
    return [event.event for event in events if not event.event.startswith("stream-")]


def texts(events: list[DecodedEvent]) -> str:
    """Return the data of a producer's events in one text."""
    return "".join(event.data for event in events if not event.event.startswith(("stream-", "run-")))


def counted(events: list[DecodedEvent]) -> dict[str, Any]:
    """Return what the end says, of which there is one, at the end."""
    ends = [event for event in events if event.event == "run-end"]
    assert len(ends) == 1, kinds(events)
    assert [event for event in events if not event.event.startswith("stream-")][-1] is ends[0]
    said: dict[str, Any] = json.loads(ends[0].data)
    return said


class LosingLog(OddLog):
    """A log that does what it is asked and then, so many times, says that it could not."""

    def __init__(self) -> None:
        super().__init__()
        self.losing = 0

    async def append(self, topic: str, drafts: Any, **arguments: Any) -> Appended:
        appended = await super().append(topic, list[Draft](drafts), **arguments)
        if self.losing and topic.startswith(DATA):
            self.losing -= 1
            self.away = True
            try:
                await self._enter("lost", topic)
            finally:
                self.away = False
        return appended


class WallClock:
    """The time of day, which goes as the loop's clock does, until it is set."""

    def __init__(self) -> None:
        self.ahead = 0.0
        self._begun = time.time()

    def __call__(self) -> float:
        return self._begun + self.ahead + asyncio.get_running_loop().time()


async def until_gone(runs: Runs, topic: str) -> None:
    """Wait until the log has forgotten a topic."""
    async with asyncio.timeout(10_000):
        while topic in await log_of(runs).topics():
            await asyncio.sleep(1)
