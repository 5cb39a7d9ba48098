"""One connection: a task that writes what has queued, and one that reads what comes."""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from redis.asyncio.connection import Connection
from redis.exceptions import ConnectionError as EngineConnectionError
from redis.exceptions import RedisError, ResponseError

from unbroken.logs.redis.failures import Lost, meaning_of

__all__ = ["Arg", "Pipe", "Queued", "ask", "close_connection", "open_connection", "retrieve"]

Arg = bytes | str | int

CHUNK_BYTES = 4 * 1024 * 1024
"""Of commands that are packed at once."""


_ROLES = {
    b"slave": "it is a replica: name the primary, or its Sentinels",
    b"sentinel": "it is a Sentinel: give redis+sentinel://",
}


async def open_connection(connection: Connection, timeout: float, *, primary: bool = False) -> None:
    """Connect, log in and choose the database; if `primary`, of a server that is no replica.

    Raises:
        Lost: it could not be done in time; nothing is left open.
    """
    try:
        async with asyncio.timeout(timeout):
            await connection.connect()  # type: ignore[no-untyped-call]
            if primary:
                await _check_role(connection)
    except TimeoutError:
        close_connection(connection)
        raise Lost(f"it did not answer within {timeout:g} s", sent=False) from None
    except (RedisError, OSError, Lost) as error:
        close_connection(connection)
        raise Lost(meaning_of(error), sent=False) from error
    except BaseException:
        close_connection(connection)
        raise


async def ask(connection: Connection, *command: Arg) -> Any:
    """Return the answer to a command on a connection that is used for nothing else.

    Raises:
        RedisError: the engine's error, or the connection is gone.
    """
    await connection.send_command(*command, check_health=False)
    return await connection.read_response()


async def _check_role(connection: Connection) -> None:
    """Refuse a replica: what it has may be old, and it takes nothing."""
    try:
        role = await ask(connection, "ROLE")
    except ResponseError:  # the ACL does not permit to ask
        return
    if role[0] != b"master":
        raise Lost(_ROLES.get(role[0], "it is no server that keeps data"), sent=False)


def close_connection(connection: Connection) -> None:
    """Close a connection at once. What it has not written is dropped: a peer that is slow or frozen would keep it."""
    writer = connection._writer  # redis-py closes by writing all first
    if writer is not None:
        writer.transport.abort()
        connection._close()  # type: ignore[no-untyped-call]


def retrieve(future: asyncio.Future[Any]) -> None:
    """Take note of an answer or an error: those who waited may all have left."""
    if not future.cancelled():
        future.exception()


@dataclass(frozen=True, slots=True)
class Queued:
    """A command that is to be written, and who waits for its answer."""

    command: Sequence[Arg]
    size: int = 0
    answer: asyncio.Future[Any] | None = None


class Pipe(ABC):
    """A connection that was opened, until it is lost. To be used on one event loop."""

    def __init__(self, connection: Connection, heartbeat_interval: float | None) -> None:
        self._connection = connection
        self._heartbeat_interval = heartbeat_interval
        self._queue: deque[Queued] = deque()
        self._queued_bytes = 0
        self._wake = asyncio.Event()
        self._why: str | None = None
        self.lost: Callable[[], None] | None = None
        """Called once, when the connection is gone."""
        self._task = asyncio.get_running_loop().create_task(self._run(), name="unbroken redis")
        self._task.add_done_callback(self._over)  # a task that is cancelled before its first step runs no `finally`

    @property
    def alive(self) -> bool:
        """Whether it can be used."""
        return self._why is None

    @property
    def why(self) -> str:
        """Why it was lost."""
        return self._why or ""

    def close(self, why: str) -> None:
        """Give the connection up: a deadline has passed, or it is not needed any more."""
        if self._why is None:
            self._why = why
            self._task.cancel()
            self._end()

    async def closed(self) -> None:
        """Wait until nothing is left of it."""
        await asyncio.wait((self._task,))

    @abstractmethod
    def _on_reply(self, reply: object) -> None:
        """Take what came."""

    @abstractmethod
    def _on_written(self, queued: Sequence[Queued]) -> None:
        """Hear that these are about to be written."""

    @abstractmethod
    def _on_lost(self) -> None:
        """Tell those who wait."""

    @abstractmethod
    def _beat(self) -> None:
        """Put a heartbeat into the queue."""

    def _put(self, queued: Queued) -> None:
        self._queue.append(queued)
        self._queued_bytes += queued.size
        self._wake.set()

    async def _run(self) -> None:
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._write_on(), name="unbroken redis writer")
                group.create_task(self._read_on(), name="unbroken redis reader")
        except* Exception as errors:  # noqa: BLE001 # whatever it is, those who wait are told
            self._why = self._why or _reason(errors)

    def _over(self, _: asyncio.Task[None]) -> None:
        if self._why is None:  # cancelled, and not by us: the loop comes to its end, and nobody is to be told
            self._why, self.lost = "its event loop has ended", None
        self._end()

    def _end(self) -> None:
        close_connection(self._connection)
        self._on_lost()
        lost, self.lost = self.lost, None
        if lost is not None:
            lost()

    async def _write_on(self) -> None:
        while True:
            if not self._queue:
                await self._pause()
            if not self._connection.is_connected:
                return  # the reader has met its end; redis-py would connect anew here
            if chunk := self._chunk():
                self._on_written(chunk)
                packed = self._connection.pack_commands([queued.command for queued in chunk])
                await self._connection.send_packed_command(packed, check_health=False)

    def _chunk(self) -> list[Queued]:
        """Take what is to be written next: not all at once, and nothing for which nobody waits any more."""
        chunk, size = list[Queued](), 0
        while self._queue and size <= CHUNK_BYTES:
            queued = self._queue.popleft()
            self._queued_bytes -= queued.size
            if queued.answer is None or not queued.answer.done():
                chunk.append(queued)
                size += queued.size
        return chunk

    async def _pause(self) -> None:
        self._wake.clear()
        try:
            async with asyncio.timeout(self._heartbeat_interval):
                await self._wake.wait()
        except TimeoutError:
            self._beat()

    async def _read_on(self) -> None:
        while self.alive:  # what came after the reason to close it is there already
            try:
                reply = await self._connection.read_response()
            except ResponseError as error:  # the answer to a command; the connection is as good as before
                self._on_reply(error)
            else:
                self._on_reply(reply)


def _reason(errors: BaseExceptionGroup[Exception]) -> str:
    first = errors.exceptions[0]
    while isinstance(first, BaseExceptionGroup):
        first = first.exceptions[0]
    if isinstance(first, EngineConnectionError) and "closed by server" in str(first):
        return "it has closed the connection"
    return meaning_of(first)
