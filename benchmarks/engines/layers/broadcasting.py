"""broadcaster."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager

from broadcaster import Broadcast, Event

__all__ = ["broadcaster", "pubsub", "streams"]


class _Broadcaster:
    def __init__(self, broadcast: Broadcast) -> None:
        self._broadcast = broadcast

    async def publish(self, topic: str, text: str) -> None:
        await self._broadcast.publish(topic, text)

    @asynccontextmanager
    async def subscribe(self, topic: str) -> AsyncIterator[AsyncIterator[Event]]:
        async with self._broadcast.subscribe(topic) as subscriber:
            yield aiter(subscriber)  # type: ignore[arg-type]

    def text(self, event: Event) -> str:
        return event.message


class _PubSub(_Broadcaster):
    @asynccontextmanager
    async def subscribe(self, topic: str) -> AsyncIterator[AsyncIterator[Event]]:
        # On redis-py 8.1 it never hears its only channel: it looks whether it is subscribed before it is, and goes to
        # sleep until there is another.
        async with self._broadcast.subscribe("another"), super().subscribe(topic) as events:
            yield events


@asynccontextmanager
async def broadcaster(url: str) -> AsyncIterator[_Broadcaster]:
    async with Broadcast(url) as opened:
        yield _Broadcaster(opened)


@asynccontextmanager
async def pubsub(url: str) -> AsyncIterator[_PubSub]:
    async with Broadcast(url) as opened:
        yield _PubSub(opened)


def streams(url: str) -> AbstractAsyncContextManager[_Broadcaster]:
    return broadcaster(url.replace("redis://", "redis-stream://"))
