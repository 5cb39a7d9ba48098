"""The topics that this process follows: opened when somebody reads them, kept a little after the last has left."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Iterator, Sequence
from contextvars import Context

from unbroken.errors import LogUnavailable
from unbroken.hub.counters import Counters
from unbroken.hub.reach import Reach
from unbroken.hub.topic import Topic
from unbroken.logs import Entry, Log
from unbroken.observe import logger

__all__ = ["Topics"]

LINGER = 30.0
"""Seconds for which a topic that nobody reads stays open: its readers may only be on their way back."""


class Topics:
    """The open topics of one hub, and the listener of its log. To be used on the hub's loop only."""

    def __init__(self, log: Log, counters: Counters) -> None:
        self._log = log
        self._counters = counters
        self._topics: dict[str, Topic] = {}
        self._opening: dict[str, asyncio.Task[None]] = {}
        self._lingering: dict[str, asyncio.TimerHandle] = {}
        self._closing: dict[str, asyncio.Task[None]] = {}
        self.reach = Reach()

    def __len__(self) -> int:
        return len(self._topics)

    def __iter__(self) -> Iterator[Topic]:
        return iter(tuple(self._topics.values()))

    def find(self, name: str) -> Topic | None:
        """Return a topic that is followed, or None."""
        return self._topics.get(name)

    async def acquire(self, names: Sequence[str]) -> tuple[Topic, ...]:
        """Return the topics, open; each must be released.

        Raises:
            LogUnavailable: one of them cannot be read now.
        """
        taken = tuple(map(self._take, names))
        opening = [
            self._opening[name] for name in names if name in self._opening
        ]  # one may fail while another is awaited
        try:
            for task in opening:
                await asyncio.shield(task)
        except BaseException:
            self.release(taken)
            raise
        return taken

    def release(self, topics: Sequence[Topic]) -> None:
        """Give topics back that `acquire` returned."""
        for topic in topics:
            topic.users -= 1
            if not topic.users and self._topics.get(topic.name) is topic:
                loop = asyncio.get_running_loop()
                self._lingering[topic.name] = loop.call_later(LINGER, self._drop, topic.name, context=Context())

    async def close(self) -> None:
        """Let go of all."""
        for timer in self._lingering.values():
            timer.cancel()
        self._lingering.clear()
        opening, self._opening = list(self._opening.values()), {}
        topics, self._topics = list(self._topics.values()), {}
        for task in opening:
            task.cancel()
        await asyncio.gather(
            *opening, *self._closing.values(), *(topic.close() for topic in topics), return_exceptions=True
        )

    # What the log tells.

    def on_entries(self, topic: str, epoch: str, entries: Sequence[Entry], closed: bool) -> None:
        """Pass entries on to the topic, if anybody reads it."""
        found = self._topics.get(topic)
        if found is not None:
            found.on_entries(epoch, entries, closed)

    def on_doubt(self, topics: Collection[str] | None) -> None:
        """Have topics read the log, all of them for None."""
        for topic in self:
            if topics is None or topic.name in topics:
                topic.doubt()

    def on_trouble(self, why: str | None) -> None:
        """Take note that the log is out of reach, or within it again."""
        self.reach.hear(why)

    def _take(self, name: str) -> Topic:
        topic = self._topics.get(name)
        if topic is None:
            topic = self._topics[name] = Topic(name, self._log, self._counters, self.reach)
            # In a context of its own: a log may keep what it begins here for as long as the topic is watched.
            task = asyncio.get_running_loop().create_task(self._open(topic), name="unbroken topic", context=Context())
            task.add_done_callback(_retrieve)
            if not task.done():  # an eager one may have come to its end already
                self._opening[name] = task
        timer = self._lingering.pop(name, None)
        if timer is not None:
            timer.cancel()
        topic.users += 1
        return topic

    async def _open(self, topic: Topic) -> None:
        try:
            if (closing := self._closing.get(topic.name)) is not None:
                await asyncio.wait((closing,))  # or its unwatch would be ours
            await topic.open()
        except BaseException:
            if self._topics.get(topic.name) is topic:
                del self._topics[topic.name]  # whoever asks next tries again
            raise
        finally:
            if self._opening.get(topic.name) is asyncio.current_task():
                del self._opening[topic.name]

    def _drop(self, name: str) -> None:
        self._lingering.pop(name, None)
        topic = self._topics.get(name)
        if topic is None or topic.users:  # it failed to open; or somebody has come back
            return
        del self._topics[name]
        task = asyncio.get_running_loop().create_task(self._close(topic), name="unbroken topic", context=Context())
        if not task.done():
            self._closing[name] = task
            task.add_done_callback(lambda _: self._closing.pop(name))

    async def _close(self, topic: Topic) -> None:
        try:
            await topic.close()
        except LogUnavailable as exc:
            logger.debug("topic %r could not be unwatched: %s", topic.name, exc)


def _retrieve(task: asyncio.Task[None]) -> None:
    """Take note of an error: those who waited for the topic may all have left."""
    if not task.cancelled():
        task.exception()
