"""A connection for commands: many may be under way, and the answers come in their order."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Sequence
from typing import Any

from redis.asyncio.connection import Connection
from redis.exceptions import ResponseError

from unbroken.logs.redis.failures import Lost, Refused
from unbroken.logs.redis.pipe import Arg, Pipe, Queued, retrieve

__all__ = ["Wire"]

QUEUE_BYTES = 64 * 1024 * 1024
"""Of payload that waits to be written, for at most the deadline: an engine that is frozen takes nothing."""


class Wire(Pipe):
    """Sends commands, and answers them by futures. What was written for a caller that is cancelled goes on to its end.

    When a command stays unanswered for `timeout` seconds, the connection is given up with all that wait.
    """

    def __init__(self, connection: Connection, heartbeat_interval: float, timeout: float) -> None:
        self._timeout = timeout
        self._sent: deque[tuple[asyncio.Future[Any], float]] = deque()
        self._loop = asyncio.get_running_loop()
        self._watchdog: asyncio.TimerHandle | None = None
        self._confirming: asyncio.Future[Any] | None = None
        super().__init__(connection, heartbeat_interval)

    @property
    def idle(self) -> bool:
        """Whether all is answered."""
        return not (self._queue or self._sent)

    def send(self, command: Sequence[Arg]) -> asyncio.Future[Any]:
        """Have a command sent; the future has its answer, an error of the engine, or `Lost`."""
        future: asyncio.Future[Any] = self._loop.create_future()
        if not self.alive:
            future.set_exception(Lost(self.why, sent=False))
            return future
        size = sum(len(part) for part in command if isinstance(part, bytes))
        if self._queued_bytes and self._queued_bytes + size > QUEUE_BYTES:
            future.set_exception(Refused(f"more than {QUEUE_BYTES >> 20} MiB wait to be sent to it", sent=False))
        else:
            self._put(Queued(command, size, future))
        return future

    def confirm(self, replicas: int) -> asyncio.Future[Any]:
        """Have the engine say how many replicas have all that this connection wrote. Asked once for all of a turn."""
        if self._confirming is None:
            # Less than the deadline: the number that it has come to is worth more than a timeout. And the engine
            # looks at its clock ten times a second.
            wait = max(1, int(self._timeout * 800) - 100)
            self._confirming = self.send(("WAIT", replicas, wait))
            self._confirming.add_done_callback(retrieve)
            self._loop.call_soon(self._forget_confirming)
        return self._confirming

    async def drain(self, timeout: float) -> None:
        """Wait until all is answered."""
        queued = (queued.answer for queued in self._queue if queued.answer is not None)
        if waiting := {*queued, *(future for future, _ in self._sent)}:
            await asyncio.wait(waiting, timeout=timeout)

    def _forget_confirming(self) -> None:
        self._confirming = None

    def _beat(self) -> None:
        self.send(("PING",)).add_done_callback(retrieve)

    def _on_written(self, queued: Sequence[Queued]) -> None:
        now = self._loop.time()
        self._sent.extend((one.answer, now) for one in queued if one.answer is not None)
        if self._watchdog is None:
            self._watchdog = self._loop.call_at(now + self._timeout, self._watch)

    def _watch(self) -> None:
        self._watchdog = None
        if not self._sent:
            return
        due = self._sent[0][1] + self._timeout
        if due <= self._loop.time():
            self.close(f"it did not answer within {self._timeout:g} s")
        else:
            self._watchdog = self._loop.call_at(due, self._watch)

    def _on_reply(self, reply: object) -> None:
        future, _ = self._sent.popleft()
        if future.done():  # its caller was cancelled
            return
        if isinstance(reply, ResponseError):
            future.set_exception(reply)
        else:
            future.set_result(reply)

    def _on_lost(self) -> None:
        if self._watchdog is not None:
            self._watchdog.cancel()
        for future, _ in self._sent:
            if not future.done():
                future.set_exception(Lost(self.why))
        for queued in self._queue:
            if queued.answer is not None and not queued.answer.done():
                queued.answer.set_exception(Lost(self.why, sent=False))
        self._sent.clear()
        self._queue.clear()
