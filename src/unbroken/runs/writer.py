"""What a run's producer sends, on its way into the run's topic."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Coroutine, Sequence
from contextvars import Context
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from unbroken.errors import Fenced, LogError, RunEnded, RunLimitExceeded, TopicClosed
from unbroken.runs.events import item_payload
from unbroken.runs.names import DATA

if TYPE_CHECKING:
    from unbroken.runs.desk import Desk

__all__ = ["Bounds", "Writer"]

COALESCE_BYTES = 2048
"""Of what waits to be sent together: then it is sent at once."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Bounds:
    """How much a run may send, in each attempt."""

    max_events: int
    max_bytes: int
    max_event_bytes: int


@dataclass(slots=True)
class _Piece:
    """An event that waits. Text of the same type can be added to text."""

    event: str | None
    texts: list[str]
    payload: bytes
    size: int
    """What the event has at most: each text was counted as one of its own."""

    def takes(self, data: object, event: str | None, size: int, max_size: int) -> bool:
        """Whether `data` can become part of it."""
        return isinstance(data, str) and bool(self.texts) and event == self.event and self.size + size <= max_size

    def add(self, text: str, size: int) -> None:
        """Take text in."""
        self.texts.append(text)
        self.size += size

    def encoded(self, max_size: int) -> bytes:
        """Return the event."""
        return self.payload if len(self.texts) < 2 else item_payload("".join(self.texts), self.event, max_size)


class Writer:
    """Appends one attempt's events in order, each batch once, and fenced. For the run's own tasks."""

    def __init__(self, desk: Desk, run: str, fence: int, ttl: float, bounds: Bounds, coalesce: float) -> None:
        self._desk = desk
        self._run = run
        self._fence = fence
        self._ttl = ttl
        self._appended_at = time.time()
        self._bounds = bounds
        self._coalesce = coalesce
        self._lock = asyncio.Lock()
        self._waiting: list[_Piece] = []
        self._waiting_bytes = 0
        self._flushing: asyncio.Task[None] | None = None
        self.failure: BaseException | None = None
        """Why something that waited was not sent, until that is raised."""
        self.events = 0
        self.bytes = 0
        self.is_full = False
        """It was asked for more than it may send."""
        self.is_taken = False
        """Another process goes on with the run, or has ended it."""
        self.is_closed = False

    async def send(self, data: object, event: str | None) -> None:
        """Append an event, or have it wait for others for as long as `coalesce` says.

        Raises:
            EncodeError: it has no form on the wire.
            RunLimitExceeded: it would be more than the run may send.
            RunEnded: the run takes nothing any more.
            LogUnavailable: it cannot be said that it was appended.
        """
        self._check()
        if not self._coalesce:
            payload = item_payload(data, event, self._bounds.max_event_bytes)
            self._count(1, len(payload))
            async with self._lock:
                await self._put([payload])
            return
        self._wait_with(data, event)
        if self._waiting_bytes >= COALESCE_BYTES:
            await self.flush()
        elif self._flushing is None:
            self._begin_to_flush()

    async def append(self, payload: bytes) -> int:
        """Append an event behind all that waits, and return its `seq`.

        Raises:
            RunLimitExceeded, RunEnded, LogUnavailable: as `send`.
        """
        self._check()
        self._count(1, len(payload))
        return await self._surely(self._flush(payload))

    async def keep_alive(self, payload: bytes) -> None:
        """Append what is no event, and so is not counted.

        Raises:
            RunEnded, LogUnavailable: as `send`.
        """
        if not (self.is_closed or self.is_taken):
            async with self._lock:
                await self._put([payload])

    async def flush(self) -> None:
        """Append what waits; also if who asks for it is cancelled meanwhile, since it was taken.

        Raises:
            RunEnded, LogUnavailable: as `send`; or what a flush before it raised.
        """
        self.raise_failure()
        if self._waiting:
            await self._surely(self._flush())

    async def close(self, payload: bytes) -> None:
        """Append what waits and the event that ends the run, and close its topic: all in one batch.

        Raises:
            RunEnded: another process did so, or goes on with it.
            LogUnavailable: it cannot be said that it was appended.
        """
        self.is_closed = True
        async with self._lock:
            await self._put([*self._taken(), payload], close=True)

    def check_limit(self) -> None:
        """Refuse what would pass for the whole, where something was too much already.

        Raises:
            RunLimitExceeded: it was.
        """
        if self.is_full:
            raise RunLimitExceeded(f"run {self._run!r} has sent more than it may, and ends with `error`: return")

    def raise_failure(self) -> None:
        """Raise what went wrong with something that waited, once."""
        failure, self.failure = self.failure, None
        if failure is not None:
            raise failure

    async def _flush(self, *more: bytes) -> int:
        async with self._lock:
            payloads = [*self._taken(), *more]
            return await self._put(payloads) if payloads else 0

    async def _surely(self, work: Coroutine[Any, Any, int]) -> int:
        """Do something to its end, whoever waits for it: the run's end waits for the lock."""
        task = asyncio.get_running_loop().create_task(work, name="unbroken run", context=Context())
        try:
            return await asyncio.shield(task)
        except asyncio.CancelledError:
            task.add_done_callback(self._note_failure)
            raise

    def _note_failure(self, task: asyncio.Task[int]) -> None:
        if not task.cancelled():
            self.failure = task.exception() or self.failure

    def _check(self) -> None:
        self.raise_failure()
        if self.is_closed or self.is_taken:
            raise RunEnded(f"run {self._run!r} has ended, or another process goes on with it: return")

    def _wait_with(self, data: object, event: str | None) -> None:
        payload = item_payload(data, event, self._bounds.max_event_bytes)  # what is refused is refused where it is sent
        last = self._waiting[-1] if self._waiting else None
        if last is None or not last.takes(data, event, len(payload), self._bounds.max_event_bytes):
            self._count(1, len(payload))
            texts = [data] if isinstance(data, str) else []
            self._waiting.append(_Piece(event, texts, payload, len(payload)))
        else:
            self._count(0, len(payload))
            last.add(str(data), len(payload))
        self._waiting_bytes += len(payload)

    def _taken(self) -> list[bytes]:
        pieces, self._waiting, self._waiting_bytes = self._waiting, [], 0
        payloads = [piece.encoded(self._bounds.max_event_bytes) for piece in pieces]
        self.bytes -= sum(piece.size - len(payload) for piece, payload in zip(pieces, payloads, strict=True))
        return payloads

    def _count(self, events: int, size: int) -> None:
        bounds = self._bounds
        if self.events + events > bounds.max_events or self.bytes + size > bounds.max_bytes:
            self.is_full = True
            raise RunLimitExceeded(
                f"run {self._run!r} has sent {self.events} events and {self.bytes} bytes, and may send "
                f"{bounds.max_events} and {bounds.max_bytes}: coalesce, send less, or give start() or Runs() "
                "more: max_events=…, max_bytes=…"
            )
        self.events += events
        self.bytes += size

    def _begin_to_flush(self) -> None:
        loop = asyncio.get_running_loop()
        task = loop.create_task(self._flush_until_nothing_waits(), name="unbroken run", context=Context())
        self._flushing = None if task.done() else task

    async def _flush_until_nothing_waits(self) -> None:
        try:
            while self._waiting:
                await asyncio.sleep(self._coalesce)
                await self.flush()
        except (RunEnded, LogError) as exc:
            self.failure = exc  # told by the next send
        finally:
            self._flushing = None

    async def _put(self, payloads: Sequence[bytes], *, close: bool = False) -> int:
        if time.time() - self._appended_at > self._ttl:
            # By the clock that ages go by, all of the run was forgotten, and its fence with it: this process was
            # suspended, or its clock was set. What it appends now would begin another topic, or be in another's run.
            self.is_taken = True
            raise RunEnded(f"run {self._run!r} was silent for longer than ttl={self._ttl:g} s, and is gone: return")
        try:
            appended = await self._desk.append(
                DATA + self._run, payloads, fence=self._fence, close=close, ttl=self._ttl
            )
            self._appended_at = time.time()
            return appended.position.seq
        except (Fenced, TopicClosed) as exc:
            self.is_taken = True
            raise RunEnded(f"another process has taken over run {self._run!r}: return") from exc
