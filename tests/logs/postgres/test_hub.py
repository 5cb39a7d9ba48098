"""A hub whose topics are in PostgreSQL: published in the application's transactions, and through a failover."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import psycopg
import pytest
import sqlalchemy
from sqlalchemy.ext.asyncio import async_sessionmaker, create_async_engine
from sqlalchemy.pool import NullPool

from tests.engines.postgres import Postgres, reachable_folder, running_postgres
from tests.logs.postgres.running import HASTY, eventually, place_of, with_settings
from unbroken import Hub
from unbroken.errors import LogUnavailable, StreamGap
from unbroken.hub import Subscription


async def data(events: Subscription, count: int) -> list[str]:
    """Return the data of the next events."""
    async with asyncio.timeout(10):
        return [(await anext(events)).data for _ in range(count)]


def test_published_in_a_session_it_comes_with_the_commit(url: str) -> None:
    """And not before, nor ever after a rollback; to readers of another process's hub too."""

    async def scenario() -> None:
        engine = create_async_engine(
            place_of(url).dsn.replace("postgresql:", "postgresql+asyncpg:"), poolclass=NullPool
        )
        sessions = async_sessionmaker(engine)
        async with Hub(url) as hub, Hub(url) as other, other.subscribe("orders:1", after="earliest") as events:
            await hub.publish("orders:1", "before")
            async with sessions() as session:
                await hub.publish("orders:1", "never", within=session)
                await session.rollback()
            async with sessions.begin() as session:
                await session.execute(sqlalchemy.text("SELECT 1"))
                position = await hub.publish("orders:1", "paid", key="paid:1", within=session)
            assert await data(events, 2) == ["before", "paid"]
            assert await hub.publish("orders:1", "paid", key="paid:1") == position
            with psycopg.connect(place_of(url).dsn) as connection:
                await asyncio.to_thread(hub.publish_sync, "orders:1", "shipped", within=connection)
            assert await data(events, 1) == ["shipped"]

    asyncio.run(scenario())


@pytest.fixture
def pair() -> Iterator[tuple[Postgres, Postgres]]:
    """Run a server, and a replica that streams from it."""
    with running_postgres() as primary, reachable_folder() as folder, primary.replica(folder) as replica:
        yield primary, replica


@pytest.mark.parametrize("written_anew", [pytest.param(1, marks=pytest.mark.soak), 2, 5])
def test_a_replica_that_lagged_and_took_over_is_a_gap(pair: tuple[Postgres, Postgres], written_anew: int) -> None:
    """What only the old primary had is told as lost, though the numbers are given anew; and then it goes on."""
    primary, replica = pair
    url = with_settings(primary.url.replace(f":{primary.port}", f":{primary.port},127.0.0.1:{replica.port}"), **HASTY)

    async def scenario() -> None:
        async with Hub(url) as hub, hub.subscribe("t", after="earliest", on_gap="raise") as events:
            await hub.publish("t", "both")
            assert await data(events, 1) == ["both"]
            await eventually(lambda: has_all(primary, replica), "the first event at the replica")
            replica.kill()
            for text in ("lost 1", "lost 2"):
                await hub.publish("t", text)
            assert await data(events, 2) == ["lost 1", "lost 2"]
            primary.kill()
            replica.start()
            replica.promote()
            for number in range(written_anew):
                await published(hub, f"anew {number}")
            with pytest.raises(StreamGap) as raised:
                await data(events, 1)
            assert raised.value.gap.topic == "t"  # type: ignore[attr-defined]
            await published(hub, "after")
            seen = await data(events, 1)
            while seen[-1] != "after":
                seen += await data(events, 1)
            assert seen == [*(f"anew {number}" for number in range(written_anew)), "after"][-len(seen) :]

    async def published(hub: Hub, text: str) -> None:
        async def is_published() -> bool:
            try:
                await hub.publish("t", text, key=text)
            except LogUnavailable:
                return False
            return True

        await eventually(is_published, "an event")

    asyncio.run(scenario())


async def has_all(primary: Postgres, replica: Postgres) -> bool:
    """Say whether the replica has replayed what the primary has written."""
    written = primary.sql("SELECT pg_current_wal_lsn()")
    return replica.sql(f"SELECT pg_last_wal_replay_lsn() >= '{written}'") == "t"
