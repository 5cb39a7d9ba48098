"""Publishing in a transaction of the application's own: the event is there exactly if the row is."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager
from dataclasses import dataclass
from typing import Any

import asyncpg  # type: ignore[import-untyped]
import psycopg
import pytest
import sqlalchemy
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker, create_async_engine
from sqlalchemy.orm import Session
from sqlalchemy.pool import NullPool

from tests.logs.postgres.running import connected, heard, opened, place_of
from unbroken.errors import ConfigurationError, Fenced, TopicClosed
from unbroken.logs.contract import Appended
from unbroken.logs.postgres import PostgresLog
from unbroken.testing.logs.handles import drafts, everything

INSERT = "INSERT INTO orders VALUES (1)"


@dataclass(frozen=True, slots=True)
class Transaction:
    """An open transaction of some library."""

    connection: Any
    """What the log is given."""
    execute: Callable[[str], Awaitable[object]]
    commit: Callable[[], Awaitable[object]]
    rollback: Callable[[], Awaitable[object]]


@asynccontextmanager
async def of_asyncpg(url: str) -> AsyncIterator[Transaction]:
    """A connection."""
    connection = await asyncpg.connect(url)
    transaction = connection.transaction()
    await transaction.start()
    try:
        yield Transaction(connection, connection.execute, transaction.commit, transaction.rollback)
    finally:
        await connection.close()


@asynccontextmanager
async def of_asyncpg_pool(url: str) -> AsyncIterator[Transaction]:
    """A connection of a pool."""
    async with asyncpg.create_pool(url, min_size=1, max_size=1) as pool, pool.acquire() as connection:
        transaction = connection.transaction()
        await transaction.start()
        yield Transaction(connection, connection.execute, transaction.commit, transaction.rollback)


@asynccontextmanager
async def of_psycopg(url: str) -> AsyncIterator[Transaction]:
    """A connection that begins by itself."""
    async with await psycopg.AsyncConnection.connect(url) as connection:
        yield Transaction(connection, connection.execute, connection.commit, connection.rollback)


@asynccontextmanager
async def of_sqlalchemy(url: str, driver: str, *, session: bool) -> AsyncIterator[Transaction]:
    """A session or a connection over a driver."""
    engine = create_async_engine(url.replace("postgresql:", f"postgresql+{driver}:"), poolclass=NullPool)
    async with async_sessionmaker(engine)() if session else engine.connect() as connection:

        async def execute(text: str) -> None:
            await connection.execute(sqlalchemy.text(text))

        yield Transaction(connection, execute, connection.commit, connection.rollback)
    await engine.dispose()


ASYNCHRONOUS: dict[str, Callable[[str], AbstractAsyncContextManager[Transaction]]] = {
    "asyncpg": of_asyncpg,
    "a pool of asyncpg": of_asyncpg_pool,
    "psycopg": of_psycopg,
    "a session of SQLAlchemy over asyncpg": lambda url: of_sqlalchemy(url, "asyncpg", session=True),
    "a session of SQLAlchemy over psycopg": lambda url: of_sqlalchemy(url, "psycopg", session=True),
    "a connection of SQLAlchemy": lambda url: of_sqlalchemy(url, "psycopg", session=False),
}


@pytest.fixture
def dsn(url: str, server: Any) -> str:
    """Return the URL without the log's settings, with a table of the application's."""
    server.sql("DROP TABLE IF EXISTS orders; CREATE TABLE orders (id int)")
    return place_of(url).dsn


@pytest.mark.parametrize("library", ASYNCHRONOUS)
def test_the_event_is_there_exactly_if_the_row_is(library: str, url: str, dsn: str, server: Any) -> None:
    """Committed, it is told; rolled back, nothing of it is ever seen; before the end nobody sees it."""

    async def scenario() -> None:
        async with opened(url) as (log, listener):
            await log.watch("t")
            await log.head("t")
            async with ASYNCHRONOUS[library](dsn) as one:
                await one.execute(INSERT)
                await log.append_within(one.connection, "t", drafts(b"never"), key="k")
                await one.rollback()
            async with ASYNCHRONOUS[library](dsn) as one:
                await one.execute(INSERT)
                made = await log.append_within(one.connection, "t", drafts(b"1", b"\x00\xff"), key="k", fence=2)
                assert await everything(log, "t") == []
                await one.commit()
            await heard(listener, "t", b"\x00\xff")
            assert tuple(await everything(log, "t")) == made.entries
            assert (made.duplicate, made.position) == (False, (await log.head("t")).position)
            assert listener.entries("t") == {entry.seq: entry for entry in made.entries}
            async with ASYNCHRONOUS[library](dsn) as one:
                again = await log.append_within(one.connection, "t", drafts(b"x"), key="k")
                assert (again.duplicate, again.entries, again.position) == (True, made.entries, made.position)
                with pytest.raises(Fenced):
                    await log.append_within(one.connection, "t", drafts(b"x"), fence=1)
                await log.append_within(one.connection, "t", [], close=True)
                with pytest.raises(TopicClosed):
                    await log.append_within(one.connection, "t", drafts(b"x"))
                await one.execute(INSERT)  # what was refused has not spoiled the transaction
                await one.commit()
            await listener.until(lambda: listener.closed("t"), "the end of the topic")

    asyncio.run(scenario())
    assert server.sql("SELECT count(*) FROM orders") == "2"


@contextmanager
def sync_psycopg(url: str) -> Iterator[Any]:
    """A connection without a loop."""
    with psycopg.connect(url) as connection:
        yield connection


@contextmanager
def sync_sqlalchemy(url: str, *, session: bool) -> Iterator[Any]:
    """A session or a connection without a loop."""
    engine = sqlalchemy.create_engine(url.replace("postgresql:", "postgresql+psycopg:"), poolclass=NullPool)
    with Session(engine) if session else engine.connect() as connection:
        yield connection


@pytest.mark.parametrize(
    "library",
    [
        sync_psycopg,
        lambda url: sync_sqlalchemy(url, session=True),
        lambda url: sync_sqlalchemy(url, session=False),
    ],
    ids=["psycopg", "session", "connection"],
)
def test_so_it_is_without_a_loop(library: Any, url: str, dsn: str) -> None:
    """A log that was not even started appends with a synchronous connection, once the tables are there."""

    async def kept() -> list[bytes]:
        async with opened(url) as (log, _):
            return [entry.payload for entry in await everything(log, "t")]

    assert asyncio.run(kept()) == []
    log = PostgresLog(dsn, schema=place_of(url).schema)
    with library(dsn) as connection:
        log.append_within_sync(connection, "t", drafts(b"never"))
        connection.rollback()
    with library(dsn) as connection:
        made = log.append_within_sync(connection, "t", drafts(b"1", b"2"), key="k")
        connection.commit()
        again = log.append_within_sync(connection, "t", drafts(b"x"), key="k")
        assert (again.duplicate, again.entries) == (True, made.entries)
    assert asyncio.run(kept()) == [b"1", b"2"]


def test_a_savepoint_takes_its_events_back(url: str, dsn: str) -> None:
    """What was appended since it goes with it; what came before stays, and what comes after follows on that."""

    async def scenario() -> None:
        async with opened(url) as (log, listener), connected(dsn) as connection:
            await log.watch("t")
            async with connection.transaction():
                await log.append_within(connection, "t", drafts(b"1"))
                savepoint = connection.transaction()
                await savepoint.start()
                await log.append_within(connection, "t", drafts(b"never"))
                await savepoint.rollback()
                last = await log.append_within(connection, "t", drafts(b"2"))
            assert last.position.seq == 2
            await heard(listener, "t", b"2")
            assert sorted(listener.entries("t")) == [1, 2]
            assert [entry.payload for entry in await everything(log, "t")] == [b"1", b"2"]

    asyncio.run(scenario())


def test_whoever_commits_later_comes_later(url: str, dsn: str) -> None:
    """However long a transaction stays open, no reader ever sees an event before one of a lower number."""

    async def scenario() -> None:
        async with opened(url) as (log, listener), connected(dsn) as slow:
            await log.watch("t")
            transaction = slow.transaction()
            await transaction.start()
            await log.append_within(slow, "t", drafts(b"1"))
            behind = [asyncio.create_task(log.append("t", drafts(b"%d" % number))) for number in (2, 3)]
            free = await log.append("free", drafts(b"x"))
            assert (free.position.seq, listener.told, any(task.done() for task in behind)) == (1, [], False)
            await transaction.commit()
            await asyncio.gather(*behind)
            await heard(listener, "t", b"3")
            await heard(listener, "t", b"1")
            assert [entry.payload for entry in await everything(log, "t")] == [b"1", b"2", b"3"]

    asyncio.run(scenario())


def test_a_topic_that_is_being_made_holds_up_no_other(url: str, dsn: str) -> None:
    """Who reads it waits until the transaction that makes it has ended, without a connection of the log's."""

    async def scenario() -> None:
        async with opened(url) as (log, _), connected(dsn) as slow:
            transaction = slow.transaction()
            await transaction.start()
            made = await log.append_within(slow, "new", drafts(b"1"))
            readers = [asyncio.create_task(log.head("new")) for _ in range(8)]
            assert [(await log.head(f"other{number}")).seq for number in range(8)] == [0] * 8
            assert not any(task.done() for task in readers)
            await transaction.commit()
            assert {head.position for head in await asyncio.gather(*readers)} == {made.position}

    asyncio.run(scenario())


def test_in_a_stricter_isolation_a_conflict_is_the_transactions_own(url: str, dsn: str) -> None:
    """Where another appended since the snapshot, PostgreSQL's own error comes, for the application's own retry."""

    async def scenario() -> Appended:
        async with opened(url) as (log, _), connected(dsn) as connection:
            await log.append("t", drafts(b"1"))
            with pytest.raises(asyncpg.exceptions.SerializationError):
                async with connection.transaction(isolation="repeatable_read"):
                    await connection.fetchval("SELECT 1 FROM orders")
                    await log.append("t", drafts(b"2"))
                    await log.append_within(connection, "t", drafts(b"3"), key="k")
            async with connection.transaction(isolation="repeatable_read"):
                return await log.append_within(connection, "t", drafts(b"3"), key="k")

    assert asyncio.run(scenario()).position.seq == 3


def test_opposite_orders_are_a_deadlock_and_the_logs_own_appends_have_no_part_in_it(url: str, dsn: str) -> None:
    """Of two transactions one is ended by PostgreSQL, the other goes on; what is appended beside them just waits."""

    async def scenario() -> None:
        async with opened(url) as (log, _), connected(dsn) as one, connected(dsn) as other:
            for connection in (one, other):
                await connection.execute("SET deadlock_timeout = '50ms'")
            results = await asyncio.gather(
                both(log, one, "a", "b"),
                both(log, other, "b", "a"),
                *(log.append(topic, drafts(b"beside")) for topic in ("a", "b", "a", "b")),
                return_exceptions=True,
            )
            errors = [type(result) for result in results if isinstance(result, BaseException)]
            assert errors == [asyncpg.exceptions.DeadlockDetectedError]
            for topic in ("a", "b"):
                payloads = [entry.payload for entry in await everything(log, topic)]
                assert (payloads.count(b"within"), payloads.count(b"beside")) == (1, 2)

    async def both(log: PostgresLog, connection: Any, first: str, second: str) -> None:
        async with connection.transaction():
            await log.append_within(connection, first, drafts(b"within"))
            await held.wait()
            await log.append_within(connection, second, drafts(b"within"))

    held = asyncio.Barrier(2)
    asyncio.run(scenario())


def test_what_it_cannot_append_within_is_refused(url: str, dsn: str) -> None:
    """By its type; and where each statement is a transaction of its own, so that nothing would hang on its end."""

    async def scenario() -> None:
        async with opened(url) as (log, _), connected(dsn) as connection:
            for given, said in (
                (sqlite3.connect(":memory:"), r"a sqlite3.Connection cannot be appended within: give a connection of"),
                (connection, "in no transaction: begin one"),
                (psycopg.connect(dsn), "for a synchronous one there are publish_sync and append_within_sync"),
                (await psycopg.AsyncConnection.connect(dsn, autocommit=True), "in no transaction"),
            ):
                with pytest.raises(ConfigurationError, match=said):
                    await log.append_within(given, "t", drafts(b"x"))
                closed = given.close()
                if closed is not None:
                    await closed
            engine = create_async_engine(
                dsn.replace("postgresql:", "postgresql+asyncpg:"), poolclass=NullPool, isolation_level="AUTOCOMMIT"
            )
            async with AsyncSession(engine) as session:
                with pytest.raises(ConfigurationError, match="in no transaction"):
                    await log.append_within(session, "t", drafts(b"x"))
            with (
                sqlalchemy.create_engine("sqlite://").connect() as other,
                pytest.raises(ConfigurationError, match="the connection is to sqlite"),
            ):
                log.append_within_sync(other, "t", drafts(b"x"))
            assert await log.topics() == []

    asyncio.run(scenario())


def test_the_connections_own_ways_do_not_matter(url: str, dsn: str, server: Any) -> None:
    """Codecs and cursors of its own, and a database whose texts have no encoding."""

    async def scenario() -> None:
        async with opened(url) as (log, _), connected(dsn) as connection:
            for type_, encoder in (("bytea", lambda value: f"\\x{value.hex()}"), ("int8", str), ("float8", str)):
                await connection.set_type_codec(type_, schema="pg_catalog", encoder=encoder, decoder=lambda text: text)
            async with connection.transaction():
                made = await log.append_within(connection, "t", drafts(b"\x00\xff"), key="k")
                again = await log.append_within(connection, "t", drafts(b"x"), key="k")
            assert (again.entries, tuple(await everything(log, "t"))) == (made.entries, made.entries)
            with psycopg.connect(dsn, cursor_factory=psycopg.RawCursor) as raw:
                assert log.append_within_sync(raw, "t", drafts(b"x")).position.seq == 2

    async def without_an_encoding() -> None:
        other = f"{dsn.rpartition('/')[0]}/ascii"
        async with opened(other) as (log, _):
            with psycopg.connect(other) as connection:
                made = log.append_within_sync(connection, "t", drafts("ä".encode()), key="k")
                again = log.append_within_sync(connection, "t", drafts(b"x"), key="k")
            assert (again.duplicate, again.entries) == (True, made.entries)
            assert (await log.head("t")).position == made.position

    server.sql("CREATE DATABASE ascii ENCODING 'SQL_ASCII' TEMPLATE template0 LOCALE 'C'")
    asyncio.run(scenario())
    asyncio.run(without_an_encoding())
