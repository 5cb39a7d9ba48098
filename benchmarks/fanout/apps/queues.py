from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

__all__ = ["Queues"]


class Queues:
    """What most applications write themselves: a queue for each subscriber, one event put into all of them."""

    def __init__(self) -> None:
        self._queues: set[asyncio.Queue[str]] = set()
        self._newest = ""

    def __len__(self) -> int:
        return len(self._queues)

    async def publish(self, text: str) -> None:
        self._newest = text
        for queue in self._queues:
            queue.put_nowait(text)

    async def subscribe(self, *, newest: bool) -> AsyncIterator[str]:
        queue: asyncio.Queue[str] = asyncio.Queue()
        self._queues.add(queue)
        try:
            if newest:
                yield self._newest
            while True:
                yield await queue.get()
        finally:
            self._queues.discard(queue)
