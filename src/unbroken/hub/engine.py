"""What of a hub runs on its event loop: the topics, the feeds, the flusher, and who reads."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Coroutine, Mapping, Sequence
from contextvars import Context
from typing import TYPE_CHECKING, Any

from unbroken.errors import CloseReason, LogUnavailable
from unbroken.hub.cluster import Cluster
from unbroken.hub.counters import Counters
from unbroken.hub.feed import Feed, Flusher
from unbroken.hub.neighbours import Neighbours
from unbroken.hub.numbering import Numbering
from unbroken.hub.outbox import Outbox, Sender
from unbroken.hub.reader import Reader
from unbroken.hub.reading import OnGap
from unbroken.hub.retention import Keeper, Retentions
from unbroken.hub.revocation import Revocations
from unbroken.hub.stats import stats_of
from unbroken.hub.topics import Topics
from unbroken.logs import Appended, Draft, Log, Retention
from unbroken.stream.options import StreamOptions
from unbroken.stream.turns import current_turns

if TYPE_CHECKING:
    from unbroken.hub.subscriber import Subscriber
    from unbroken.hub.subscription import Bell

__all__ = ["Engine"]

PUBLISHED_IN_TURN = 64
"""Events that may be published in one turn of the loop; they leave together."""

FOLLOW_TIMEOUT = 1.0
"""Seconds for which a stream waits until revocations are heard of."""

STOP_TIMEOUT = 3.0
"""Seconds for the streams that are open when the hub stops: a drain has most often ended them before."""

FeedKey = tuple[tuple[str, ...], float | None, bytes]


class Engine:
    """The running parts of a hub, from `start` to `stop`. To be used on its loop only."""

    def __init__(self, log: Log, counters: Counters, retentions: Retentions, outbox: Outbox) -> None:
        self.loop = asyncio.get_running_loop()
        self._pid = os.getpid()
        self.log = log
        self.counters = counters
        self.topics = Topics(log, counters)
        self.subscribers: set[Subscriber] = set()
        self.bells: set[Bell] = set()
        """Of the code that waits for events."""
        self.is_stopped = False
        self._endings: set[asyncio.Task[None]] = set()
        self._feeds: dict[FeedKey, Feed] = {}
        self._flusher = Flusher()
        self._retentions = retentions
        self._keeper: Keeper | None = None
        self._neighbours = None if log.guarantees.shared else Neighbours()
        self._turns = current_turns()
        self._turn = self._in_turn = 0
        self._following: asyncio.Task[None] | None = None
        self.outbox = Sender(outbox, self.append, retentions.of, counters)
        self.cluster = Cluster(
            log,
            self.topics,
            lambda: stats_of(counters, self),
            lambda: [subscriber.names for subscriber in self.subscribers],
        )
        self.revocations = Revocations(log, self.topics, lambda: self.subscribers, counters)

    async def start(self) -> None:
        """Open the log.

        Raises:
            LogUnavailable: it cannot be opened.
        """
        await self.log.start(self.topics)
        self._keeper = Keeper(self.log, self._retentions, self.topics)

    def is_ours(self) -> bool:
        """Whether it runs on the running loop, in this process."""
        return self.loop is asyncio.get_running_loop() and not self.is_forked()

    def is_forked(self) -> bool:
        """Whether it is a parent process's."""
        return self._pid != os.getpid()

    def is_usable(self) -> bool:
        """Whether its loop runs, in this process; asked in other threads."""
        return self.loop.is_running() and not self.is_forked()

    async def stop(self) -> None:
        """End the streams that are left, and close everything."""
        self.is_stopped = True
        for bell in tuple(self.bells):
            bell.ring()
        for subscriber in tuple(self.subscribers):
            subscriber.close(CloseReason.SHUTDOWN)
        left = [subscriber.exchange.ended for subscriber in self.subscribers]
        if left:
            await asyncio.wait(left, timeout=STOP_TIMEOUT)
        if self._endings:
            await asyncio.wait(self._endings, timeout=STOP_TIMEOUT)
        await self.outbox.close()
        if self._following is not None:
            self._following.cancel()
            await asyncio.wait((self._following,))
        if self._keeper is not None:
            await self._keeper.close()
        await self._flusher.close()
        await self.topics.close()
        await self.log.stop()

    async def abandon(self) -> None:
        """Close the log of a loop that is closed: its tasks and timers ended with it."""
        self.outbox.abandon()
        await self.log.stop()

    async def publish(self, topic: str, payload: bytes, *, key: str | None, close: bool) -> Appended:
        """Append an event.

        Raises:
            LogError: as `Log.append` does.
        """
        return await self.append(topic, [Draft(payload)], key, close=close)

    async def append(
        self,
        topic: str,
        drafts: Sequence[Draft],
        key: str | None,
        *,
        fence: int | None = None,
        close: bool = False,
    ) -> Appended:
        """Append a batch.

        Raises:
            LogError: as `Log.append` does.
        """
        try:
            appended = await self.log.append(topic, drafts, key=key, fence=fence, close=close)
        except LogUnavailable as exc:
            self.topics.reach.lose(str(exc))
            raise
        self.topics.reach.regain()
        self.count(topic, drafts, appended)
        await self._give_turn()
        return appended

    def count(self, topic: str, drafts: Sequence[Draft], appended: Appended) -> None:
        """Count what was appended; a topic that has grown is trimmed in its time."""
        if appended.duplicate:
            self.counters.duplicates += 1
            return
        self.counters.published += len(drafts)
        if self._keeper is not None:
            self._keeper.note(topic, len(drafts), sum(len(draft.payload) for draft in drafts))

    async def _give_turn(self) -> None:
        """Let the loop go on, every so many events: an append that need not wait would starve it, and all readers."""
        turn = self._turns.number()
        if turn != self._turn:
            self._turn, self._in_turn = turn, 0
        self._in_turn += 1
        if self._in_turn >= PUBLISHED_IN_TURN:
            await asyncio.sleep(0)

    async def receive(self, scope: Mapping[str, Any]) -> None:
        """See to what the first stream of a process, or of a server, wants to be seen to."""
        if self._neighbours is not None:
            self._neighbours.look(scope.get("server"))
        if not (self.revocations.follows() and self.cluster.follows()):
            await self._follow()

    async def _follow(self) -> None:
        """Hear of what other processes say; while the log is out of reach no stream waits long for that."""
        if self._following is None:
            self._following = self.loop.create_task(self._follow_all(), name="unbroken hub", context=Context())
        await asyncio.wait((self._following,), timeout=FOLLOW_TIMEOUT)

    async def _follow_all(self) -> None:
        try:
            await asyncio.gather(self.revocations.follow(), self.cluster.follow())
        finally:
            self._following = None

    async def trim(self, topic: str, retention: Retention | None) -> int:
        """Trim a topic now.

        Raises:
            LogUnavailable: it cannot be done now.
        """
        assert self._keeper is not None
        return await self._keeper.trim(topic, retention)

    def admit(self, subscriber: Subscriber, asked_at: float) -> None:
        """Take in a stream whose leave was asked for at `asked_at`; or end it, if that no longer holds."""
        self.subscribers.add(subscriber)
        if self.is_stopped:
            self.loop.call_soon(subscriber.close, CloseReason.SHUTDOWN)
        elif self.revocations.has_met(subscriber, asked_at):
            self.loop.call_soon(subscriber.close, CloseReason.REVOKED)

    async def open_reader(self, numbering: Numbering, on_gap: OnGap) -> Reader:
        """Return a reader that begins with what comes next. Its topics must be released.

        Raises:
            LogUnavailable: the log cannot be read now.
        """
        topics = await self.topics.acquire(numbering.names)
        return Reader(topics, numbering, self.log, on_gap, self.counters)

    def see_off(self, ended: asyncio.Future[None], farewell: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """Have `farewell` run when a stream has ended that no task of the server's waits for."""

        def begin(_: object) -> None:
            task = self.loop.create_task(farewell(), name="unbroken farewell")
            self._endings.add(task)
            task.add_done_callback(self._endings.discard)

        ended.add_done_callback(begin)

    def live(self) -> int:
        """Return how many responses have everything there is."""
        return sum(len(feed.members) for feed in self._feeds.values())

    def feed_of(self, reader: Reader, options: StreamOptions) -> Feed:
        """Return the feed of those who read the same topics with the same heartbeat; made, if there is none."""
        key = (reader.numbering.names, options.heartbeat, options.heartbeat_frame)
        feed = self._feeds.get(key)
        if feed is None:
            feed = self._feeds[key] = Feed(
                reader.topics,
                reader.numbering,
                options.heartbeat,
                options.heartbeat_frame,
                self._flusher.add,
                self.counters,
            )
        return feed

    def give_back(self, feed: Feed, options: StreamOptions) -> None:
        """Retire a feed whose last member has left."""
        key = (feed.numbering.names, options.heartbeat, options.heartbeat_frame)
        if not feed.members and self._feeds.get(key) is feed:
            del self._feeds[key]
            feed.retire()
