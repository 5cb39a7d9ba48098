"""`Hub.subscribe`: topics for code, as an asynchronous iterator."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from types import TracebackType

from unbroken.errors import StreamGap
from unbroken.hub.beginning import Beginning, begin
from unbroken.hub.engine import Engine
from unbroken.hub.event import Event
from unbroken.hub.gap import Gap
from unbroken.hub.numbering import Item, Numbering, Vector
from unbroken.hub.reader import Reader
from unbroken.hub.topic import Topic

__all__ = ["Bell", "Subscription"]


class Subscription(AsyncIterator[Event]):
    """Events of topics, as they come. It reads when it is asked to: a slow loop reads from the log.

        async for event in hub.subscribe("orders"):
            print(event.event, event.json())

    Use it as a context manager, or iterate to the end: it holds its topics until then. One task at a time. After
    `StreamGap` it may be iterated again, and goes on behind the gap. It ends when all its topics are closed,
    or its hub.

    Raises:
        StreamGap: events between the last and the next are gone; with `on_gap="raise"` only.
        LogUnavailable: the log cannot be read now. The next iteration tries again.
    """

    def __init__(
        self,
        open_engine: Callable[[], Awaitable[Engine]],
        numbering: Numbering,
        start: Beginning,
        *,
        raises: bool,
        latest: bool,
        passes: Callable[[Event], bool],
    ) -> None:
        self._open_engine = open_engine
        self._numbering = numbering
        self._start = start
        self._raises = raises
        self._latest = latest
        self._passes = passes
        self._engine: Engine | None = None
        self._reader: Reader | None = None
        self._items: list[Item] = []  # newest first
        self._vector: Vector = ()
        self._bell = Bell()
        self._closed = False
        self.gaps = 0
        """Gaps that were met so far."""

    @property
    def position(self) -> str | None:
        """What continues behind the last event that was returned, as `after=`; None before the first step."""
        return None if self._reader is None else self._numbering.id_of(self._vector)

    async def __anext__(self) -> Event:
        """Return the next event, waiting for it if need be."""
        while True:
            while self._items:
                item = self._items.pop()
                if isinstance(item, Gap):
                    self.gaps += 1
                    if self._raises:
                        raise StreamGap(item)
                else:
                    self._vector = self._numbering.after(self._vector, item)
                    if self._passes(item):
                        return item
            await self._fetch()

    async def _fetch(self) -> None:
        reader = await self._open()
        if self._items:  # what it resumes with
            return
        items: Sequence[Item] = await reader.read()
        if not items:
            if reader.is_over() or self._is_stopped():
                await self.aclose()
                raise StopAsyncIteration
            self._vector = reader.vector
            await self._bell.wait()
        self._items = list(reversed(items))

    async def _open(self) -> Reader:
        if self._closed:
            raise StopAsyncIteration
        if self._reader is None:
            engine = self._engine = await self._open_engine()
            reader = await engine.open_reader(self._numbering, "latest" if self._latest else "continue")
            try:
                resume = await begin(reader, self._start)
            except BaseException:
                engine.topics.release(reader.topics)
                raise
            self._reader, self._vector = reader, resume.vector or reader.vector
            engine.bells.add(self._bell)
            for topic in reader.topics:
                topic.followers.add(self._bell)
            self._items = list(reversed(resume.items))
        return self._reader

    def _is_stopped(self) -> bool:
        return self._engine is not None and self._engine.is_stopped

    async def aclose(self) -> None:
        """Let go of the topics. What is iterated afterwards is at its end."""
        self._closed = True
        self._items.clear()
        if self._engine is not None and self._reader is not None:
            _release(self._engine, self._reader, self._bell)
        self._reader = self._engine = None

    async def __aenter__(self) -> Subscription:
        """Begin to read: what is published from now on will be returned."""
        await self._open()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Let go of the topics."""
        await self.aclose()

    def __del__(self) -> None:
        # Whoever breaks out of the loop most often closes nothing. The topics know the bell alone, so that this is
        # collected; it may be so on any thread.
        if self._engine is not None and self._reader is not None and not self._engine.loop.is_closed():
            self._engine.loop.call_soon_threadsafe(_release, self._engine, self._reader, self._bell)


class Bell:
    """Rings when there is something to be read."""

    def __init__(self) -> None:
        self._waiting: asyncio.Future[None] | None = None

    async def wait(self) -> None:
        """Wait for the next ring; in the step in which nothing was left, so that none is missed."""
        self._waiting = asyncio.get_running_loop().create_future()
        try:
            await self._waiting
        finally:
            self._waiting = None

    def ring(self) -> None:
        """Have the subscription look: at its topics, and whether its hub is open."""
        if self._waiting is not None and not self._waiting.done():
            self._waiting.set_result(None)

    def on_events(self, topic: Topic, events: Sequence[Event]) -> None:
        """Ring."""
        self.ring()

    def on_break(self, topic: Topic) -> None:
        """Ring, too: where the history ends, or another begins, the reader finds out by itself."""
        self.ring()


def _release(engine: Engine, reader: Reader, bell: Bell) -> None:
    engine.bells.discard(bell)
    for topic in reader.topics:
        topic.followers.discard(bell)
    engine.topics.release(reader.topics)
