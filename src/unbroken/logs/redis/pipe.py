"""One connection: a task that writes what has queued, and one that reads what comes."""

from __future__ import annotations

import asyncio
import contextlib
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import Any

from redis.asyncio.connection import Connection
from redis.exceptions import ConnectionError as EngineConnectionError
from redis.exceptions import RedisError, ResponseError

from unbroken.logs.redis.failures import Lost, meaning_of

__all__ = ["Arg", "Pipe", "ask", "close_connection", "open_connection"]

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
        await close_connection(connection)
        raise Lost(f"it did not answer within {timeout:g} s", sent=False) from None
    except (RedisError, OSError, Lost) as error:
        await close_connection(connection)
        raise Lost(meaning_of(error), sent=False) from error
    except BaseException:
        await close_connection(connection)
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


async def close_connection(connection: Connection) -> None:
    """Close a connection, and wait for nobody: a peer that is frozen would hold us up."""
    with contextlib.suppress(RedisError, OSError):
        await connection.disconnect(nowait=True)


class Pipe(ABC):
    """A connection that was opened, until it is lost. To be used on one event loop."""

    def __init__(self, connection: Connection, heartbeat_interval: float | None) -> None:
        self._connection = connection
        self._heartbeat_interval = heartbeat_interval
        # No bound of its own: who put a command here waits for it, or has subscribed.
        self._queue: list[Sequence[Arg]] = []
        self._wake = asyncio.Event()
        self._why: str | None = None
        self.lost: Callable[[], None] | None = None
        """Called once, when the connection is gone."""
        self._started = asyncio.Event()
        self._task = asyncio.get_running_loop().create_task(self._run(), name="unbroken redis")

    async def started(self) -> None:
        """Wait until it is at work. A task that is cancelled before its first step closes nothing."""
        try:
            await self._started.wait()
        except BaseException:
            await close_connection(self._connection)
            raise

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
            self._started.set()
            self._end()

    async def closed(self) -> None:
        """Wait until nothing is left of it."""
        await asyncio.wait((self._task,))
        await close_connection(self._connection)

    @abstractmethod
    def _on_reply(self, reply: object) -> None:
        """Take what came."""

    @abstractmethod
    def _on_written(self, count: int) -> None:
        """Hear that so many commands are about to be written."""

    @abstractmethod
    def _on_lost(self) -> None:
        """Tell those who wait."""

    @abstractmethod
    def _beat(self) -> None:
        """Put a heartbeat into the queue."""

    def _put(self, command: Sequence[Arg]) -> None:
        self._queue.append(command)
        self._wake.set()

    async def _run(self) -> None:
        self._started.set()
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._write_on(), name="unbroken redis writer")
                group.create_task(self._read_on(), name="unbroken redis reader")
        except* Exception as errors:  # noqa: BLE001 # whatever it is, those who wait are told
            self._why = self._why or _reason(errors)
        finally:
            await close_connection(self._connection)
            if self._why is None:  # cancelled, and not by us: the loop comes to its end, and nobody is to be told
                self._why, self.lost = "its event loop has ended", None
            self._end()

    def _end(self) -> None:
        self._on_lost()
        lost, self.lost = self.lost, None
        if lost is not None:
            lost()

    async def _write_on(self) -> None:
        while True:
            if not self._queue:
                await self._pause()
            commands, self._queue = self._queue, []
            for chunk in _chunks(commands):
                if not self._connection.is_connected:
                    return  # the reader has met its end; redis-py would connect anew here
                self._on_written(len(chunk))
                await self._connection.send_packed_command(self._connection.pack_commands(chunk), check_health=False)

    async def _pause(self) -> None:
        self._wake.clear()
        try:
            async with asyncio.timeout(self._heartbeat_interval):
                await self._wake.wait()
        except TimeoutError:
            self._beat()

    async def _read_on(self) -> None:
        while True:
            try:
                reply = await self._connection.read_response()
            except ResponseError as error:  # the answer to a command; the connection is as good as before
                self._on_reply(error)
            else:
                self._on_reply(reply)


def _chunks(commands: list[Sequence[Arg]]) -> list[list[Sequence[Arg]]]:
    """Divide what is to be written, so that not all of it is packed in memory at once."""
    chunks, size = [list[Sequence[Arg]]()], 0
    for command in commands:
        if size > CHUNK_BYTES:
            chunks.append([])
            size = 0
        chunks[-1].append(command)
        size += sum(len(part) for part in command if isinstance(part, bytes))
    return chunks


def _reason(errors: BaseExceptionGroup[Exception]) -> str:
    first = errors.exceptions[0]
    while isinstance(first, BaseExceptionGroup):
        first = first.exceptions[0]
    if isinstance(first, EngineConnectionError) and "closed by server" in str(first):
        return "it has closed the connection"
    return meaning_of(first)
