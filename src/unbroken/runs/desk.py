"""How runs use the hub's log: with patience while it is out of reach, so that nothing is appended twice."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Sequence

from unbroken.hub.engine import Engine
from unbroken.hub.patience import SAFE, Key, persist
from unbroken.logs import Appended, Draft, Entry, Log

__all__ = ["Desk"]

PATIENCE = 60.0
"""Seconds for which an append is tried while the log is out of reach; its key is remembered for longer."""


class Desk:
    """The log of an open hub, as runs append to it."""

    def __init__(self, engine: Engine, ttl: float = math.inf) -> None:
        self.engine = engine
        self.ttl = ttl

    @property
    def log(self) -> Log:
        """The hub's."""
        return self.engine.log

    async def append(
        self,
        topic: str,
        payloads: Sequence[bytes],
        *,
        key: str | None = None,
        fence: int | None = None,
        close: bool = False,
        patience: float = PATIENCE,
        ttl: float | None = None,
    ) -> Appended:
        """Append a batch once, and try for a while, a minute at most, if the log is out of reach.

        Raises:
            LogError: as `Log.append` does; `LogUnavailable` only after `patience` seconds.
        """
        drafts, keys = [Draft(payload) for payload in payloads], Key(key)

        async def attempt() -> Appended:
            return await self.engine.append(topic, drafts, keys.take(), fence=fence, close=close)

        # Its key is not kept for longer than what it is of.
        patience = min(patience, SAFE * (ttl or self.ttl))
        deadline = asyncio.get_running_loop().time() + patience
        return await persist(attempt, deadline, lambda: self.engine.is_stopped)

    async def last(self, topic: str) -> Entry | None:
        """Return the newest entry of a topic, or None if it has none.

        Raises:
            LogUnavailable: it cannot be read now.
        """
        head = await self.log.head(topic)
        if head.first_seq > head.seq:
            return None
        page = await self.log.read(topic, head.seq - 1, 1)
        return page.entries[-1] if page.entries else None
