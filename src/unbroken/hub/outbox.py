"""What waits in memory to be published, in order and within bounds, while the log may be out of reach."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from contextvars import Context
from dataclasses import dataclass, field
from itertools import islice

from unbroken.errors import ConfigurationError, LogUnavailable, OutboxFull
from unbroken.hub.counters import Counters
from unbroken.hub.patience import Key, longest_wait, persist
from unbroken.logs import Appended, Draft, Retention
from unbroken.observe import logger

__all__ = ["Outbox", "Sender", "Unpublished", "Waiting"]

BATCH_EVENTS = 64
BATCH_BYTES = 256 * 1024
BATCH_AGES = 0.1
"""The part of `max_age` by which events of a batch may differ: they are given up together."""
AT_ONCE = 16
"""Topics that are written to at the same time."""

STOP_TIMEOUT = 3.0
"""Seconds that a hub which is closed goes on trying."""


@dataclass(frozen=True, slots=True)
class Unpublished:
    """An event that was handed over to `publish_soon`, and was given up."""

    topic: str
    data: object
    event: str | None
    key: str | None
    error: Exception
    """Why: a `LogError`, most often. After `LogUnavailable` it may have been published all the same."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Outbox:
    """The bounds of what `publish_soon` keeps in memory.

    Attributes:
        max_events: Events that may wait.
        max_bytes: Bytes of events that may wait.
        max_age: Seconds after which an event is given up that could not be published, or up to a tenth less where
            it waits among older ones. Nine tenths of `Retention.key_age` hold where they are less.
        on_unpublished: Called for each event that is given up, on the hub's loop. It must not block nor raise.

    Raises:
        ConfigurationError: a bound is not positive.
    """

    max_events: int = 1000
    max_bytes: int = 16 * 1024 * 1024
    max_age: float = 120.0
    on_unpublished: Callable[[Unpublished], None] | None = None

    def __post_init__(self) -> None:
        for name in ("max_events", "max_bytes", "max_age"):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int | float) or not value > 0:
                raise ConfigurationError(f"{name}={value!r} of the outbox is no bound: give a number above 0")


@dataclass(slots=True)
class Waiting:
    """An event that is to be published."""

    topic: str
    payload: bytes
    key: str | None
    data: object
    event: str | None
    since: float = field(default_factory=lambda: asyncio.get_running_loop().time())
    left: bool = False
    """It was published, or given up."""


class Sender:
    """Publishes what was handed over, each topic in its order. Owned by an engine; to be used on its loop only."""

    def __init__(
        self,
        outbox: Outbox,
        append: Callable[[str, Sequence[Draft], str], Awaitable[Appended]],
        retention_of: Callable[[str], Retention],
        counters: Counters,
    ) -> None:
        self._outbox = outbox
        self._append = append
        self._retention_of = retention_of
        self._counters = counters
        self._queues: dict[str, deque[Waiting]] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._turn = asyncio.Semaphore(AT_ONCE)
        self._progress = asyncio.Event()
        self._events = self._bytes = 0
        self._is_closing = False

    def __len__(self) -> int:
        return self._events

    def put(self, waiting: Waiting) -> None:
        """Take an event.

        Raises:
            OutboxFull: there is no room for it.
        """
        self._check_room(waiting)
        self._events += 1
        self._bytes += len(waiting.payload)
        queue = self._queues.get(waiting.topic)
        if queue is not None:
            queue.append(waiting)
            return
        self._queues[waiting.topic] = deque((waiting,))
        # In a context of its own, or a request's would be kept for as long as its topic has something to send.
        sending = self._send(waiting.topic)
        task = asyncio.get_running_loop().create_task(sending, name="unbroken outbox", context=Context())
        if not task.done():
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def flush(self, timeout: float) -> None:
        """Wait until all that is here now was published or given up.

        Raises:
            LogUnavailable: that takes longer than `timeout` seconds.
        """
        last = [queue[-1] for queue in self._queues.values()]
        try:
            async with asyncio.timeout(timeout):
                while not all(waiting.left for waiting in last):
                    self._progress.clear()
                    await self._progress.wait()
        except TimeoutError:
            raise LogUnavailable(
                f"{self._events} events were not published within {timeout} s, and wait still"
            ) from None

    async def close(self) -> None:
        """Publish what is left, for a moment; and give up the rest."""
        self._is_closing = True
        tasks = tuple(self._tasks)
        try:
            if tasks:
                await asyncio.wait(tasks, timeout=STOP_TIMEOUT)
        finally:
            for task in tasks:
                task.cancel()
            self.abandon()
        if tasks:
            await asyncio.wait(tasks)

    def abandon(self) -> None:
        """Give up all that waits. Needs no loop."""
        self._is_closing = True
        for topic, queue in tuple(self._queues.items()):
            self._give_up(topic, len(queue), LogUnavailable("the hub was closed before"))
        self._queues.clear()

    def _check_room(self, waiting: Waiting) -> None:
        bounds = self._outbox
        if self._is_closing:
            raise OutboxFull("the hub is being closed, and takes nothing more to publish")
        if self._events >= bounds.max_events or self._bytes + len(waiting.payload) > bounds.max_bytes:
            raise OutboxFull(
                f"{self._events} events of {self._bytes} bytes wait to be published, and the outbox has room for "
                f"{bounds.max_events} and {bounds.max_bytes}: await flush(), or give Hub(outbox=Outbox(…))"
            )

    # One topic.

    async def _send(self, topic: str) -> None:
        queue = self._queues[topic]
        while queue:
            batch = _next_batch(queue, BATCH_AGES * self._max_age(topic))
            try:
                await self._send_batch(topic, batch)
            except Exception as exc:  # noqa: BLE001 - whatever it is, those behind it are to be published
                self._give_up(topic, len(batch), exc)
            else:
                self._drop(topic, len(batch))
        self._queues.pop(topic, None)

    async def _send_batch(self, topic: str, batch: Sequence[Waiting]) -> None:
        key = Key(batch[0].key)
        drafts = [Draft(waiting.payload) for waiting in batch]

        async def attempt() -> None:
            async with self._turn:
                await self._append(topic, drafts, key.take())

        await persist(attempt, batch[0].since + self._max_age(topic), lambda: False)

    def _max_age(self, topic: str) -> float:
        return min(self._outbox.max_age, longest_wait(self._retention_of(topic)))

    def _drop(self, topic: str, count: int) -> list[Waiting]:
        queue = self._queues[topic]
        dropped = [queue.popleft() for _ in range(min(count, len(queue)))]
        self._events -= len(dropped)
        for waiting in dropped:
            self._bytes -= len(waiting.payload)
            waiting.left = True
        self._progress.set()
        return dropped

    def _give_up(self, topic: str, count: int, error: Exception) -> None:
        given_up = self._drop(topic, count)
        if not given_up:
            return
        self._counters.unpublished += len(given_up)
        what = f"{len(given_up)} events of topic {topic!r} were handed over to publish_soon, and are given up"
        logger.error("%s: %s", what, error)
        for waiting in given_up:
            self._tell(Unpublished(topic, waiting.data, waiting.event, waiting.key, error))

    def _tell(self, unpublished: Unpublished) -> None:
        if self._outbox.on_unpublished is None:
            return
        try:
            self._outbox.on_unpublished(unpublished)
        except Exception:  # noqa: BLE001 - it is a user's; the others are to be told all the same
            logger.exception("on_unpublished of a hub's outbox failed")


def _next_batch(queue: deque[Waiting], ages: float) -> list[Waiting]:
    """Return what can be appended at once: the first with a key of its own, or those of its age until there is one.

    Once it was tried it stays as it is: the key that was made for it names all of it.
    """
    first, size = queue[0], len(queue[0].payload)
    batch = [first]
    if first.key is not None:
        return batch
    for waiting in islice(queue, 1, BATCH_EVENTS):
        size += len(waiting.payload)
        if waiting.key is not None or size > BATCH_BYTES or waiting.since - first.since > ages:
            break
        batch.append(waiting)
    return batch
