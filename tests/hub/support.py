"""What the tests of the hub share: a log that can be made to fail, an endpoint with records, a driver of one topic."""

from __future__ import annotations

import asyncio
import copy
from collections import Counter
from collections.abc import Awaitable, Callable, Collection, Coroutine, Sequence
from dataclasses import replace
from typing import Any, TypeVar

from starlette.requests import Request

from unbroken.errors import LogUnavailable
from unbroken.hub import Hub
from unbroken.hub.engine import Engine
from unbroken.hub.event import Event
from unbroken.logs import Appended, Draft, Entry, Head, Listener, Page, Position, Retention
from unbroken.logs.memory import MemoryLog
from unbroken.observe import StreamRecord
from unbroken.testing import open_stream, run_with_virtual_clock

__all__ = ["Endpoint", "OddLog", "Sink", "at_once", "engine_of", "event", "opened", "run", "stepped", "turns", "until"]

T = TypeVar("T")


def run(main: Coroutine[Any, Any, T]) -> T:
    """Run on a clock that jumps."""
    return run_with_virtual_clock(main)


async def turns(count: int = 20) -> None:
    """Let everything that is ready run."""
    for _ in range(count):
        await asyncio.sleep(0)


async def at_once(condition: Callable[[], bool]) -> None:
    """Wait for a condition, turn by turn, while no time passes."""
    for _ in range(10_000):
        if condition():
            return
        await asyncio.sleep(0)
    raise AssertionError("it did not become true, however many turns the loop made")


async def until(condition: Callable[[], bool], timeout: float = 100.0) -> None:
    """Wait for a condition, at most so many (virtual) seconds."""
    async with asyncio.timeout(timeout):
        while not condition():
            await asyncio.sleep(0.01)


def event(seq: int, *, topic: str = "t", epoch: str = "aa", data: str = "") -> Event:
    """Return an event whose tag is made of its number."""
    previous = "" if seq == 1 else tag_of(seq - 1)
    payload = f"data: {data or seq}\n".encode()
    return Event(topic, Position(epoch, seq, tag_of(seq)), payload, previous)


def tag_of(seq: int) -> str:
    """Return the tag that `event` gives to a number."""
    return f"{seq:08x}" if seq else ""


class OddLog:
    """A real log in memory that can be away, slow, deaf, or lose its history, when a test says so."""

    def __init__(self, *, shared: bool = False) -> None:
        self.inner = MemoryLog()
        self.guarantees = replace(self.inner.guarantees, shared=shared)
        self.away = False
        self.deaf = False
        self.gate: asyncio.Event | None = None
        """Reads and looks at heads wait for it."""
        self.before: Callable[[str, str], Awaitable[None]] | None = None
        """Awaited with the method's name and the topic before each call; may raise."""
        self.on_the_way: Callable[[], Awaitable[None]] | None = None
        """Awaited while a page that was read is on its way back."""
        self.calls: Counter[str] = Counter()
        self.watched: set[str] = set()
        self.listener: Listener | None = None

    async def _enter(self, method: str, topic: str) -> None:
        self.calls[method] += 1
        if self.gate is not None and method in ("read", "head"):
            await self.gate.wait()
        if self.before is not None:
            await self.before(method, topic)
        if self.away:
            raise LogUnavailable("the log is away")

    async def start(self, listener: Listener) -> None:
        await self._enter("start", "")
        self.listener = listener
        await self.inner.start(self)

    async def stop(self) -> None:
        self.calls["stop"] += 1
        self.watched.clear()
        await self.inner.stop()

    async def append(
        self,
        topic: str,
        drafts: Sequence[Draft],
        *,
        key: str | None = None,
        fence: int | None = None,
        close: bool = False,
    ) -> Appended:
        await self._enter("append", topic)
        return await self.inner.append(topic, drafts, key=key, fence=fence, close=close)

    async def read(self, topic: str, after: int, limit: int) -> Page:
        await self._enter("read", topic)
        page = await self.inner.read(topic, after, limit)
        if self.on_the_way is not None:
            await self.on_the_way()
        return page

    async def head(self, topic: str) -> Head:
        await self._enter("head", topic)
        return await self.inner.head(topic)

    async def trim(self, topic: str, retention: Retention) -> int:
        await self._enter("trim", topic)
        return await self.inner.trim(topic, retention)

    async def topics(self) -> Sequence[str]:
        await self._enter("topics", "")
        return await self.inner.topics()

    async def watch(self, topic: str) -> None:
        await self._enter("watch", topic)
        self.watched.add(topic)
        await self.inner.watch(topic)

    async def unwatch(self, topic: str) -> None:
        await self._enter("unwatch", topic)
        self.watched.discard(topic)
        await self.inner.unwatch(topic)

    # Between the log in memory and the hub.

    def on_entries(self, topic: str, epoch: str, entries: Sequence[Entry], closed: bool) -> None:
        if not self.deaf and self.listener is not None:
            self.listener.on_entries(topic, epoch, entries, closed)

    def on_doubt(self, topics: Collection[str] | None) -> None:
        if self.listener is not None:
            self.listener.on_doubt(topics)

    def on_trouble(self, why: str | None) -> None:
        if self.listener is not None:
            self.listener.on_trouble(why)

    # What a test does to it.

    async def add(self, topic: str, *texts: str) -> tuple[Entry, ...]:
        """Append behind the hub's back, as another process does."""
        drafts = [Draft(f"data: {text}\n".encode()) for text in texts]
        return (await self.inner.append(topic, drafts)).entries

    async def keep_newest(self, topic: str, count: int) -> None:
        """Trim to so many events."""
        await self.inner.trim(topic, Retention(max_events=count))

    def kept(self) -> Any:
        """Return a copy of all topics, for `restore`."""
        return copy.deepcopy(self.inner._topics)

    def restore(self, kept: Any) -> None:
        """Hold what it held then, as after a backup was put back."""
        self.inner._topics = copy.deepcopy(kept)

    def lose(self) -> None:
        """Forget everything: topics have other epochs from now on."""
        self.inner._topics.clear()


class Endpoint:
    """A hub's response as an application, with the records of its ends."""

    def __init__(self, hub: Hub, *topics: str, public: bool = True, **arguments: Any) -> None:
        self.records: list[StreamRecord] = []
        self._hub = hub
        self._topics = topics
        self._arguments = {"public": public, **arguments}

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        request = Request(scope, receive)
        response = self._hub.response(request, *self._topics, on_close=self.records.append, **self._arguments)
        await response(scope, receive, send)

    @property
    def record(self) -> StreamRecord:
        """The one record: a stream ends exactly once."""
        assert len(self.records) == 1, self.records
        return self.records[0]


class _Cycle:
    # As a server's own, so that a flush may step it; the driver's is a stranger that may be a middleware.
    __module__ = "uvicorn.stand_in"

    def __init__(self, send: Any) -> None:
        self._send = send

    async def send(self, message: Any) -> None:
        await self._send(message)


def stepped(app: Any) -> Any:
    """Return the application with a `send` that counts as a server's own: a feed's flush steps it."""

    async def application(scope: Any, receive: Any, send: Any) -> None:
        await app(scope, receive, _Cycle(send).send)

    return application


def opened(app: Any, cursor: str | None = None, **arguments: Any) -> Any:
    """Open a stream with a cursor, and deadlines that a virtual clock can afford."""
    headers = {} if cursor is None else {"last-event-id": cursor}
    return open_stream(app, headers=headers, **{"timeout": 1000.0, **arguments})


class Sink:
    """A member of a feed that keeps what it was given."""

    def __init__(self) -> None:
        self.mark = 2**62
        self.bodies: list[bytes] = []
        self.heard: list[str] = []
        self.alive = True
        self.send: Callable[[Any], Coroutine[Any, Any, None]] | None = self._take
        self.write: Callable[[bytes], object] | None = None
        self.on_heard: Callable[[str], None] = lambda word: None

    async def _take(self, message: Any) -> None:
        self.bodies.append(message["body"])

    @property
    def text(self) -> str:
        """All that it was given."""
        return b"".join(self.bodies).decode()

    def _hear(self, word: str) -> None:
        self.heard.append(word)
        self.on_heard(word)

    def wait_for(self, message: Any, step: Coroutine[Any, Any, None], trap: Any) -> None:
        step.close()
        self._hear("wait_for")

    def failed(self, error: BaseException) -> None:
        self._hear(f"failed {type(error).__name__}")

    def wake(self) -> None:
        self._hear("wake")

    def break_off(self) -> None:
        self._hear("break_off")

    def is_alive(self) -> bool:
        return self.alive

    def close(self, reason: Any) -> None:
        self._hear(f"close {reason}")


def engine_of(hub: Hub) -> Engine:
    """Return what runs of an open hub."""
    engine = hub._home.engine
    assert engine is not None
    return engine
