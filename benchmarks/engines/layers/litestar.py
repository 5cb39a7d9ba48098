"""Litestar's Channels."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager

from litestar.channels import ChannelsPlugin
from litestar.channels.backends.base import ChannelsBackend

__all__ = ["asyncpg", "psycopg", "pubsub", "streams"]

HISTORY = 10_000
"""It has to be given; the hub's own default."""


class _Channels:
    def __init__(self, plugin: ChannelsPlugin) -> None:
        self._plugin = plugin

    async def publish(self, topic: str, text: str) -> None:
        # `publish` only puts it into a queue of the process.
        await self._plugin.wait_published(text, topic)

    @asynccontextmanager
    async def subscribe(self, topic: str) -> AsyncIterator[AsyncIterator[bytes]]:
        async with self._plugin.start_subscription(topic) as subscriber:
            yield subscriber.iter_events()

    def text(self, item: bytes) -> bytes:
        return item


@asynccontextmanager
async def _channels(backend: ChannelsBackend) -> AsyncIterator[_Channels]:
    async with ChannelsPlugin(backend, arbitrary_channels_allowed=True) as plugin:
        yield _Channels(plugin)


@asynccontextmanager
async def streams(url: str) -> AsyncIterator[_Channels]:
    from litestar.channels.backends.redis import RedisChannelsStreamBackend
    from redis.asyncio import Redis

    async with Redis.from_url(url) as redis, _channels(RedisChannelsStreamBackend(HISTORY, redis=redis)) as layer:
        yield layer


@asynccontextmanager
async def pubsub(url: str) -> AsyncIterator[_Channels]:
    from litestar.channels.backends.redis import RedisChannelsPubSubBackend
    from redis.asyncio import Redis

    async with Redis.from_url(url) as redis, _channels(RedisChannelsPubSubBackend(redis=redis)) as layer:
        yield layer


def asyncpg(url: str) -> AbstractAsyncContextManager[_Channels]:
    from litestar.channels.backends.asyncpg import AsyncPgChannelsBackend

    return _channels(AsyncPgChannelsBackend(url))


def psycopg(url: str) -> AbstractAsyncContextManager[_Channels]:
    from litestar.channels.backends.psycopg import PsycoPgChannelsBackend

    return _channels(PsycoPgChannelsBackend(url))
