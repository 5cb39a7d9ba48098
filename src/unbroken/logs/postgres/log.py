"""The log in PostgreSQL."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from unbroken.errors import LogUnavailable
from unbroken.logs.batch import check_batch, check_name
from unbroken.logs.contract import Appended, Draft, Guarantees, Head, Listener, Page, Retention
from unbroken.logs.postgres import statements, within
from unbroken.logs.postgres.batch import Batch
from unbroken.logs.postgres.driver import Connection
from unbroken.logs.postgres.durability import guarantees_of, stated
from unbroken.logs.postgres.follower import Follower
from unbroken.logs.postgres.place import Commit, Place, Wake, settings_of
from unbroken.logs.postgres.readers import Readers
from unbroken.logs.postgres.writer import Writer

__all__ = ["PostgresLog", "from_url"]

T = TypeVar("T")

HELD_INTERVAL = 0.02
"""Seconds between two looks at a topic that somebody's transaction makes or holds: none of our connections waits."""

_SLOW = ": see whether it runs, or is overloaded"
_MADE = ": another transaction has appended to topic {topic!r} for the first time, and is not committed"
_HELD = ": another transaction holds topic {topic!r}: publish last in a transaction, and commit at once"


def from_url(url: str) -> PostgresLog:
    """Return the log that `url` names, not yet connected.

    Raises:
        ConfigurationError: a setting that there is not, or a value that it cannot have.
    """
    settings, rest = settings_of(url)
    return PostgresLog(rest, **settings)


@dataclass(frozen=True, slots=True)
class _Parts:
    """What runs from start to stop."""

    writer: Writer
    readers: Readers
    follower: Follower
    loop: asyncio.AbstractEventLoop
    process: int


class PostgresLog:
    """Topics in tables of PostgreSQL, for all processes that reach it; and in your own transactions.

    A process opens up to five connections: one that listens, one that appends and another once topics are held by
    others' transactions, and up to two that read. They are kept. To be opened in each process after it was forked.

    Args:
        url: `postgresql://user:password@host:5432/database`. Several hosts (`one,other`) and the settings of libpq
            work; of several the primary is taken.
        notify_dsn: Another URL for the connection that listens, past a pooler that shares sessions.
        schema: Where the tables are.
        wake: `notify` wakes readers by NOTIFY; `poll` looks every `poll_interval` instead. The same for all processes.
        poll_interval: Seconds between two looks with `wake="poll"`: what readers are late at most.
        heartbeat_interval: Seconds of silence after which the connection that listens is asked for an answer.
        heartbeat_timeout: Seconds within which it must come.
        timeout: Seconds that any call takes at most.
        synchronous_commit: What an append waits for, as PostgreSQL's setting of that name; None leaves it to the
            server.
        migrate: Make the tables, and what a newer version needs. Else an administrator does.
        prepared_statements: False for a pooler that shares sessions and knows none, as PgBouncer before 1.21.

    Raises:
        ConfigurationError: a value that the setting cannot have. No text of it shows a password.
    """

    def __init__(
        self,
        url: str,
        *,
        notify_dsn: str | None = None,
        schema: str = "unbroken",
        wake: Wake = "notify",
        poll_interval: float = 0.25,
        heartbeat_interval: float = 10.0,
        heartbeat_timeout: float = 5.0,
        timeout: float = 5.0,
        synchronous_commit: Commit | None = None,
        migrate: bool = True,
        prepared_statements: bool = True,
    ) -> None:
        self._place = Place(
            dsn=url,
            notify_dsn=notify_dsn,
            schema=schema,
            wake=wake,
            poll_interval=poll_interval,
            heartbeat_interval=heartbeat_interval,
            heartbeat_timeout=heartbeat_timeout,
            timeout=timeout,
            synchronous_commit=synchronous_commit,
            migrate=migrate,
            prepared_statements=prepared_statements,
        )
        self.guarantees: Guarantees = guarantees_of(synchronous_commit or "on")
        """As the settings have it; once it is started, as the server says."""
        self._parts: _Parts | None = None

    async def start(self, listener: Listener) -> None:
        """Connect, and make the tables if they are not there. After `stop` it may be started again."""
        loop = asyncio.get_running_loop()
        follower = Follower(self._place, listener)
        writer = Writer(self._place, follower.note_appended)
        readers = Readers(self._place)
        try:
            await writer.start()
            await follower.start()
            self.guarantees = await readers.ask(lambda connection: stated(connection, self._place))
        except BaseException:
            await asyncio.gather(follower.stop(), writer.stop(), readers.stop())
            raise
        self._parts = _Parts(writer, readers, follower, loop, os.getpid())

    async def stop(self) -> None:
        """Finish what was begun, as far as the timeout allows, and close the connections."""
        parts, self._parts = self._parts, None
        if parts is None or parts.process != os.getpid() or parts.loop is not asyncio.get_running_loop():
            return  # the connections of a loop that is closed were closed with its tasks; a fork's are its parent's
        await asyncio.gather(parts.writer.stop(), parts.readers.stop())
        await parts.follower.stop()

    async def append(
        self,
        topic: str,
        drafts: Sequence[Draft],
        *,
        key: str | None = None,
        fence: int | None = None,
        close: bool = False,
    ) -> Appended:
        """Append a batch. See `Log.append`."""
        check_batch(topic, drafts, key, fence, close)
        writer = self._open().writer
        future = writer.submit(Batch.of(topic, drafts, key, fence, close))
        return await self._in_time(future, lambda: _HELD.format(topic=topic) if writer.is_held(topic) else _SLOW)

    async def append_within(
        self,
        connection: Any,
        topic: str,
        drafts: Sequence[Draft],
        *,
        key: str | None = None,
        fence: int | None = None,
        close: bool = False,
    ) -> Appended:
        """Append a batch in the transaction that `connection` is in: it exists if that is committed, and only then.

        `connection` is one of asyncpg's, a psycopg `AsyncConnection`, or an `AsyncConnection` or `AsyncSession` of
        SQLAlchemy's, to this database: that is not checked, and in another the tables are missing, or are another
        log's. It is not committed, rolled back or closed. Others that append to the topic wait for the transaction's
        end: publish last, and commit. A topic that another transaction holds is waited for up to `timeout`, or the
        `lock_timeout` that is set, if that is less. It needs no `start`, but the tables.

        Raises:
            ConfigurationError: none of these, or it is in no transaction.
            Fenced, TopicClosed: as `append`; the transaction can go on.
            Exception: what the connection itself raises; the transaction can only be rolled back.
        """
        check_batch(topic, drafts, key, fence, close)
        return await within.append(connection, self._place, Batch.of(topic, drafts, key, fence, close))

    def append_within_sync(
        self,
        connection: Any,
        topic: str,
        drafts: Sequence[Draft],
        *,
        key: str | None = None,
        fence: int | None = None,
        close: bool = False,
    ) -> Appended:
        """Do the same with a psycopg `Connection`, or a `Connection` or `Session` of SQLAlchemy's.

        May be called in any thread, with a loop or without. Raises as `append_within` does.
        """
        check_batch(topic, drafts, key, fence, close)
        return within.append_sync(connection, self._place, Batch.of(topic, drafts, key, fence, close))

    async def read(self, topic: str, after: int, limit: int) -> Page:
        """Return a page; one that is near a megabyte ends."""
        check_name("topic", topic)
        why = _SLOW
        try:
            async with asyncio.timeout(self._place.timeout):
                while (page := await self._read(topic, after, limit)) is None:
                    why = _MADE.format(topic=topic)
                    await asyncio.sleep(HELD_INTERVAL)
                return page
        except TimeoutError:
            raise LogUnavailable(f"{self._place} has no page within {self._place.timeout:g} s{why}") from None

    async def head(self, topic: str) -> Head:
        """Return the end of the topic."""
        return (await self.read(topic, 0, 0)).head

    async def trim(self, topic: str, retention: Retention) -> int:
        """Drop what is over the bounds, in small steps between which others append."""
        check_name("topic", topic)
        gone = 0
        while True:
            step = await self._trim(topic, retention)
            gone += step.gone
            if step.forgotten:
                self._open().follower.note_forgotten(topic)
            if not step.more:
                return gone

    async def topics(self) -> Sequence[str]:
        """Return the names of all topics."""
        return await self._ask(lambda connection: statements.topics(connection, self._place.namespace))

    async def watch(self, topic: str) -> None:
        """Tell the listener of this topic from now on."""
        check_name("topic", topic)
        await self._open().follower.watch(topic)

    async def unwatch(self, topic: str) -> None:
        """Tell the listener no more of this topic."""
        if self._parts is not None:
            self._parts.follower.unwatch(topic)

    async def _read(self, topic: str, after: int, limit: int) -> Page | None:
        """Read a page, having made the topic if there is none; None: somebody else is about to make it."""
        schema = self._place.namespace
        while True:
            page = await self._ask(lambda connection: statements.page(connection, schema, topic, after, limit))
            if page is not None or not await self._ask(lambda connection: statements.make(connection, schema, topic)):
                return page

    async def _trim(self, topic: str, retention: Retention) -> statements.Trimmed:
        """Do a step, once the topic is free: who waits for its lock may be what PostgreSQL ends in a deadlock."""
        schema = self._place.namespace
        deadline = asyncio.get_running_loop().time() + self._place.timeout
        while asyncio.get_running_loop().time() < deadline:
            step = await self._ask(lambda connection: statements.trim(connection, schema, topic, retention))
            if not step.held:
                return step
            await asyncio.sleep(HELD_INTERVAL)
        raise LogUnavailable(
            f"{self._place} trimmed nothing within {self._place.timeout:g} s{_HELD.format(topic=topic)}"
        )

    async def _ask(self, work: Callable[[Connection], Awaitable[T]]) -> T:
        return await self._in_time(self._open().readers.ask(work), lambda: _SLOW)

    async def _in_time(self, future: asyncio.Future[T], why: Callable[[], str]) -> T:
        try:
            async with asyncio.timeout(self._place.timeout):
                return await future
        except TimeoutError:
            raise LogUnavailable(f"{self._place} did not answer within {self._place.timeout:g} s{why()}") from None

    def _open(self) -> _Parts:
        if self._parts is None:
            raise LogUnavailable(f"{self._place} is not open: it was not started yet, or was stopped")
        if self._parts.process != os.getpid():
            parent = f"it was opened by process {self._parts.process}, of which this one is a fork"
            raise LogUnavailable(f"{self._place} cannot be used here: {parent}; open one in each process")
        return self._parts
