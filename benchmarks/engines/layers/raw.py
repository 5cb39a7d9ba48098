"""The drivers alone: what it costs to store an event, with nothing around it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any

__all__ = ["asyncpg", "nats", "redis"]

KEPT = 10_000


class _Storing:
    """A driver that stores, and tells nobody."""

    def subscribe(self, topic: str) -> AbstractAsyncContextManager[AsyncIterator[Any]]:
        raise NotImplementedError

    def text(self, item: Any) -> str | bytes:
        raise NotImplementedError


class _Redis(_Storing):
    def __init__(self, client: Any) -> None:
        self._client = client

    async def publish(self, topic: str, text: str) -> None:
        await self._client.xadd(topic, {"data": text}, maxlen=KEPT, approximate=True)


@asynccontextmanager
async def redis(url: str) -> AsyncIterator[_Redis]:
    from redis.asyncio import Redis

    async with Redis.from_url(url) as client:
        yield _Redis(client)


class _Postgres(_Storing):
    def __init__(self, pool: Any) -> None:
        self._pool = pool

    async def publish(self, topic: str, text: str) -> None:
        await self._pool.execute("INSERT INTO bench_raw (topic, data) VALUES ($1, $2)", topic, text)


@asynccontextmanager
async def asyncpg(url: str) -> AsyncIterator[_Postgres]:
    from asyncpg import create_pool  # type: ignore[import-untyped]

    async with create_pool(url) as pool:
        await pool.execute(
            "CREATE TABLE IF NOT EXISTS bench_raw"
            " (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, topic text, data text)"
        )
        yield _Postgres(pool)


class _Nats:
    """It stores in JetStream, and hears what is published as it passes, as core NATS has it."""

    def __init__(self, client: Any) -> None:
        self._client = client
        self._jetstream = client.jetstream()

    async def publish(self, topic: str, text: str) -> None:
        await self._jetstream.publish(f"bench.{topic}", text.encode())

    @asynccontextmanager
    async def subscribe(self, topic: str) -> AsyncIterator[AsyncIterator[Any]]:
        subscription = await self._client.subscribe(f"bench.{topic}")
        yield subscription.messages
        await subscription.unsubscribe()

    def text(self, message: Any) -> bytes:
        return bytes(message.data)


@asynccontextmanager
async def nats(url: str) -> AsyncIterator[_Nats]:
    from nats import connect

    client = await connect(url)
    layer = _Nats(client)
    await client.jetstream().add_stream(name="BENCH", subjects=["bench.>"], max_msgs_per_subject=KEPT)
    try:
        yield layer
    finally:
        await client.close()
