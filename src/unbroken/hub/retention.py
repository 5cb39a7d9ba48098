"""Which retention holds for which topic, and the task that keeps to it."""

from __future__ import annotations

import asyncio
import heapq
import logging
import random
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextvars import Context
from fnmatch import fnmatchcase
from functools import lru_cache

from unbroken.errors import ConfigurationError, LogUnavailable
from unbroken.hub.names import CLUSTER, INTERNAL, REVOKED
from unbroken.hub.topics import Topics
from unbroken.logs import Log, Retention
from unbroken.observe import logger

__all__ = ["Keeper", "RetentionOf", "Retentions"]

ROUND_INTERVAL = 30.0
"""Seconds between two rounds through all topics, give or take a fifth: age alone makes them shorter."""
ROUND_TOPICS = 1000
"""Topics that are trimmed in a round."""

SHARE = 8
"""A topic is trimmed when it has grown by one such part of what it may hold."""


RetentionOf = Retention | Callable[[str], Retention]


class Retentions:
    """The retention of each topic: of the first pattern that its name matches, else the default.

    Raises:
        ConfigurationError: what is given is no `Retention`, nor a mapping of patterns to some.
    """

    def __init__(self, given: Retention | Mapping[str, Retention] | None) -> None:
        patterns = given if isinstance(given, Mapping) else {"*": given or Retention()}
        for pattern, retention in patterns.items():
            if not isinstance(pattern, str) or not isinstance(retention, Retention):
                raise ConfigurationError(
                    f"retention has {pattern!r}: {retention!r}; give a Retention(…), or a mapping from patterns of "
                    "topics ('chat:*') to such"
                )
        self._patterns = tuple(patterns.items())
        self._reserved: dict[str, tuple[RetentionOf, bool]] = {}
        self._find = lru_cache(maxsize=1024)(self._found)

    def of(self, topic: str) -> Retention:
        """Return the retention of a topic."""
        found = self._find(topic)
        return found(topic) if callable(found) else found

    def reserve(self, prefix: str, retention: RetentionOf, *, whole: bool = False) -> None:
        """Give the internal topics whose names begin so a retention of their own.

        Args:
            prefix: Begins with `$`.
            retention: Theirs; or what returns that of each.
            whole: All entries of such a topic are kept until the newest is older than `max_age`, and then all go.
        """
        self._reserved[prefix] = retention, whole
        self._find.cache_clear()

    def goes_whole(self, topic: str) -> bool:
        """Whether the entries of a topic go all at once."""
        return any(whole and topic.startswith(prefix) for prefix, (_, whole) in self._reserved.items())

    def _found(self, topic: str) -> RetentionOf:
        if topic.startswith(INTERNAL):
            reserved = (kept for prefix, (kept, _) in self._reserved.items() if topic.startswith(prefix))
            return next(reserved, _OURS if topic in _OWN else _UNKNOWN)
        return next((retention for pattern, retention in self._patterns if fnmatchcase(topic, pattern)), Retention())


_OURS = Retention(max_events=1000, max_age=3600.0)

_OWN = frozenset((CLUSTER, REVOKED))
_UNKNOWN = Retention(max_events=None, max_age=None, max_bytes=None, forget_after=None)
"""Of internal topics that this process knows nothing of, such as the runs of another one: they are kept there."""


class Keeper:
    """Trims topics: soon after they have grown, and all in rounds. Owned by an engine."""

    def __init__(self, log: Log, retentions: Retentions, topics: Topics) -> None:
        self._log = log
        self._topics = topics
        self._retentions = retentions
        self._grown: Counter[str] = Counter()
        self._grown_bytes: Counter[str] = Counter()
        self._due: dict[str, None] = {}
        self._wake = asyncio.Event()
        self._last = ""
        self._young_until: dict[str, float] = {}
        """Of topics that go whole: before then, by the clock of their entries, they need not be looked at."""
        # In a context of its own: that of the request which came first would be kept for as long as the hub is open.
        self._task = asyncio.get_running_loop().create_task(self._run(), name="unbroken keeper", context=Context())

    def note(self, topic: str, events: int, size: int) -> None:
        """Hear that a topic has grown."""
        retention = self._retentions.of(topic)
        self._grown[topic] += events
        self._grown_bytes[topic] += size
        many = retention.max_events is not None and self._grown[topic] > retention.max_events // SHARE
        if many or (retention.max_bytes is not None and self._grown_bytes[topic] > retention.max_bytes // SHARE):
            del self._grown[topic], self._grown_bytes[topic]
            self._due[topic] = None
            self._wake.set()

    async def trim(self, topic: str, retention: Retention | None = None) -> int:
        """Trim one topic now, and forget here what is gone; return how many events went.

        Raises:
            LogUnavailable: it cannot be done now.
        """
        gone = await self._log.trim(topic, retention or await self._retention_now(topic))
        followed = self._topics.find(topic)
        if followed is not None:
            await followed.refresh()
        return gone

    async def close(self) -> None:
        """Trim no more."""
        self._task.cancel()
        await asyncio.wait((self._task,))

    async def _run(self) -> None:
        next_round = _some_time_from_now()
        while True:
            try:
                # At a moment, not after a silence: a busy topic wakes this all the time.
                async with asyncio.timeout_at(next_round):
                    await self._wake.wait()
            except TimeoutError:
                await self._try(self._go_round)
                next_round = _some_time_from_now()
            self._wake.clear()
            await self._try(self._trim_due)

    async def _try(self, step: Callable[[], Awaitable[None]]) -> None:
        try:
            await step()
            self._topics.reach.regain()
        except LogUnavailable as exc:
            level = logging.WARNING if self._topics.reach.why is None else logging.DEBUG  # or it was said already
            logger.log(level, "topics are not trimmed now: %s", exc)

    async def _go_round(self) -> None:
        """Trim all topics, and have those that are followed look at the log.

        What another process has trimmed is so forgotten here; and where the log's hints may be lost, the last one of a
        topic that has then fallen silent is made up for.
        """
        self._grown.clear()
        self._grown_bytes.clear()
        topics = await self._log.topics()
        for topic in self._young_until.keys() - topics:
            del self._young_until[topic]
        for topic in self._next_topics(topics):
            await self._log.trim(topic, await self._retention_now(topic))
            await asyncio.sleep(0)
        for followed in self._topics:
            followed.look()
            await asyncio.sleep(0)

    async def _retention_now(self, topic: str) -> Retention:
        """Return what a topic is to be trimmed by; of one that goes whole and is young only its keys are old."""
        retention = self._retentions.of(topic)
        if retention.max_age is None or not self._retentions.goes_whole(topic):
            return retention
        if self._young_until.get(topic, 0.0) <= time.time():
            self._young_until[topic] = await self._newest_at(topic) + retention.max_age
        if self._young_until[topic] <= time.time():
            return retention
        return Retention(max_events=None, max_age=None, max_bytes=None, key_age=retention.key_age, forget_after=None)

    async def _newest_at(self, topic: str) -> float:
        """Return when a topic's newest entry was appended; 0 if it has none."""
        head = await self._log.head(topic)
        page = await self._log.read(topic, head.seq - 1, 1) if head.first_seq <= head.seq else None
        return page.entries[-1].appended_at if page is not None and page.entries else 0.0

    def _next_topics(self, topics: Sequence[str]) -> Sequence[str]:
        """Return those of this round: where there are very many, each has its turn in a later one."""
        after = [topic for topic in topics if topic > self._last] if len(topics) > ROUND_TOPICS else topics
        chosen = heapq.nsmallest(ROUND_TOPICS, after or topics)
        self._last = chosen[-1] if chosen else ""
        return chosen

    async def _trim_due(self) -> None:
        while self._due:
            topic = next(iter(self._due))
            del self._due[topic]
            await self.trim(topic)


def _some_time_from_now() -> float:
    return asyncio.get_running_loop().time() + ROUND_INTERVAL * random.uniform(0.8, 1.2)  # noqa: S311 - no secret
