"""Ours."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager

from unbroken import Hub
from unbroken.hub.event import Event

__all__ = ["hub"]


class _Hub:
    def __init__(self, hub: Hub) -> None:
        self._hub = hub

    async def publish(self, topic: str, text: str) -> None:
        await self._hub.publish(topic, text)

    def subscribe(self, topic: str) -> AbstractAsyncContextManager[AsyncIterator[Event]]:
        return self._hub.subscribe(topic)

    def text(self, event: Event) -> str:
        return event.data


@asynccontextmanager
async def hub(url: str) -> AsyncIterator[_Hub]:
    async with Hub(url) as opened:
        yield _Hub(opened)
