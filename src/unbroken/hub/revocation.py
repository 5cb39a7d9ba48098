"""Ending the streams of those who may no longer read, in every process: by a topic of the hub's own."""

from __future__ import annotations

import asyncio
import json
import logging
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING

from unbroken.errors import CloseReason, LogUnavailable
from unbroken.hub.counters import Counters
from unbroken.hub.event import Event
from unbroken.hub.names import REVOKED
from unbroken.hub.topic import Topic
from unbroken.hub.topics import Topics
from unbroken.logs import Draft, Log
from unbroken.observe import logger

if TYPE_CHECKING:
    from unbroken.hub.subscriber import Subscriber

__all__ = ["Revocations"]

SLICE = 64
"""Streams that are ended in one turn of the loop."""

RECENT = 1024
"""Revocations that are held against streams which are opening at the same time."""

User = str | int | None


class Revocations:
    """Tells all processes of a revocation, and hears of those of others. Owned by an engine."""

    def __init__(
        self, log: Log, topics: Topics, subscribers: Callable[[], Iterable[Subscriber]], counters: Counters
    ) -> None:
        self._log = log
        self._topics = topics
        self._subscribers = subscribers
        self._counters = counters
        self._topic: Topic | None = None
        self._ending: set[asyncio.Task[int]] = set()
        self._recent: deque[tuple[float, User, str | None]] = deque(maxlen=RECENT)

    def has_met(self, subscriber: Subscriber, since: float) -> bool:
        """Whether a stream that is only opening was revoked meanwhile: `authorize` may have answered just before."""
        if len(self._recent) == RECENT and self._recent[0][0] >= since:
            return True  # the one that was meant may be forgotten; who may read comes back
        return any(at >= since and _matches(subscriber, user, topic) for at, user, topic in self._recent)

    def follows(self) -> bool:
        """Whether revocations of other processes are heard, as far as there can be any."""
        return self._topic is not None or not self._log.guarantees.shared

    async def follow(self) -> None:
        """Hear of what others revoke; asked for by each stream that opens, and done once."""
        if self.follows():
            return
        try:
            (topic,) = await self._topics.acquire((REVOKED,))
        except LogUnavailable as exc:
            # Each stream that opens tries it again: while the log is out of reach that is said once.
            level = logging.WARNING if self._topics.reach.why is None else logging.DEBUG
            self._topics.reach.lose(str(exc))
            logger.log(level, "what other processes revoke is not heard of yet: %s", exc)
        else:
            if self._topic is None:
                self._topic = topic
                topic.followers.add(self)
            else:
                self._topics.release((topic,))

    async def revoke(self, user: User, topic: str | None) -> int:
        """End streams here, and everywhere.

        Raises:
            LogUnavailable: others may not have heard of it.
        """
        count = await self._end(user, topic)
        if self._log.guarantees.shared:
            await self._log.append(REVOKED, [Draft(json.dumps({"user": user, "topic": topic}).encode())])
        return count

    def on_events(self, topic: Topic, events: Sequence[Event]) -> None:
        """End what another process has revoked."""
        for event in events:
            said = json.loads(event.payload)
            task = asyncio.get_running_loop().create_task(self._end(said["user"], said["topic"]))
            self._ending.add(task)
            task.add_done_callback(self._ending.discard)

    def on_break(self, topic: Topic) -> None:
        """Note that some may not have been heard of: what was trimmed or lost cannot be made up for."""
        logger.warning("the history of revocations has a break; revalidate= asks regularly, where that matters")

    async def _end(self, user: User, topic: str | None) -> int:
        self._recent.append((asyncio.get_running_loop().time(), user, topic))
        ended = 0
        for subscriber in tuple(self._subscribers()):
            if _matches(subscriber, user, topic) and subscriber.is_open:
                subscriber.close(CloseReason.REVOKED)
                ended += 1
                if not ended % SLICE:
                    await asyncio.sleep(0)
        self._counters.revoked += ended
        return ended


def _matches(subscriber: Subscriber, user: User, topic: str | None) -> bool:
    of_user = user is None or subscriber.user == user
    return of_user and (topic is None or topic in subscriber.names)
