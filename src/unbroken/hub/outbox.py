"""What waits in memory to be published, in order and within bounds, while the log may be out of reach."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from contextvars import Context
from dataclasses import dataclass, field
from itertools import islice

from unbroken.errors import ConfigurationError, LogError, LogUnavailable, OutboxFull
from unbroken.hub.counters import Counters
from unbroken.hub.patience import made_key, pauses
from unbroken.logs import Appended, Draft, Retention
from unbroken.observe import logger

__all__ = ["Outbox", "Sender", "Unpublished", "Waiting"]

BATCH_EVENTS = 64
BATCH_BYTES = 256 * 1024
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
    error: LogError
    """Why. After `LogUnavailable` it may have been published all the same."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Outbox:
    """The bounds of what `publish_soon` keeps in memory.

    Attributes:
        max_events: Events that may wait.
        max_bytes: Bytes of events that may wait.
        max_age: Seconds after which an event is given up that could not be published; at most `Retention.key_age`,
            which holds where it is less.
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
        task = asyncio.get_running_loop().create_task(
            self._send(waiting.topic), name="unbroken outbox", context=Context()
        )
        if not task.done():
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def flush(self, timeout: float) -> None:
        """Wait until all that is here now was published or given up.

        Raises:
            LogUnavailable: that takes longer than `timeout` seconds.
        """
        tasks = tuple(self._tasks)
        if tasks and (await asyncio.wait(tasks, timeout=timeout))[1]:
            raise LogUnavailable(f"{self._events} events were not published within {timeout} s, and wait still")

    async def close(self) -> None:
        """Publish what is left, for a moment; and give up the rest."""
        self._is_closing = True
        tasks = tuple(self._tasks)
        if tasks:
            await asyncio.wait(tasks, timeout=STOP_TIMEOUT)
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)
        for topic in tuple(self._queues):
            self._give_up(topic, len(self._queues[topic]), LogUnavailable("the hub was closed before"))
            del self._queues[topic]

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
            batch = _next_batch(queue)
            try:
                await self._send_batch(topic, batch)
            except LogError as exc:
                self._give_up(topic, len(batch), exc)
            else:
                self._drop(topic, len(batch))
        del self._queues[topic]

    async def _send_batch(self, topic: str, batch: Sequence[Waiting]) -> None:
        key = batch[0].key or made_key()
        drafts = [Draft(waiting.payload) for waiting in batch]
        deadline = batch[0].since + min(self._outbox.max_age, self._retention_of(topic).key_age)
        for pause in pauses():
            try:
                async with self._turn:
                    await self._append(topic, drafts, key)
                break
            except LogUnavailable:
                if asyncio.get_running_loop().time() + pause >= deadline:
                    raise
            await asyncio.sleep(pause)

    def _drop(self, topic: str, count: int) -> list[Waiting]:
        queue = self._queues[topic]
        dropped = [queue.popleft() for _ in range(count)]
        self._events -= count
        self._bytes -= sum(len(waiting.payload) for waiting in dropped)
        return dropped

    def _give_up(self, topic: str, count: int, error: LogError) -> None:
        self._counters.unpublished += count
        logger.error(
            "%d events of topic %r were handed over to publish_soon, and are given up: %s", count, topic, error
        )
        for waiting in self._drop(topic, count):
            self._tell(Unpublished(topic, waiting.data, waiting.event, waiting.key, error))

    def _tell(self, unpublished: Unpublished) -> None:
        if self._outbox.on_unpublished is None:
            return
        try:
            self._outbox.on_unpublished(unpublished)
        except Exception:  # noqa: BLE001 - it is a user's; the others are to be published all the same
            logger.exception("on_unpublished of a hub's outbox failed")


def _next_batch(queue: deque[Waiting]) -> list[Waiting]:
    """Return what can be appended at once: the first with a key of its own, or those without until there is one."""
    batch, size = [queue[0]], len(queue[0].payload)
    if queue[0].key is not None:
        return batch
    for waiting in islice(queue, 1, BATCH_EVENTS):
        size += len(waiting.payload)
        if waiting.key is not None or size > BATCH_BYTES:
            break
        batch.append(waiting)
    return batch
