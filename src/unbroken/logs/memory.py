"""A log in the memory of one process."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from unbroken.errors import ConfigurationError, LogUnavailable
from unbroken.logs.batch import check_batch, check_state, link, new_epoch
from unbroken.logs.contract import Appended, Draft, Entry, Guarantees, Head, Listener, Page, Retention
from unbroken.logs.overflow import count_over
from unbroken.logs.position import Position

__all__ = ["MemoryLog", "from_url"]

PAGE_BYTES = 1024 * 1024
"""Payload after which a page ends. It is in this memory anyway; what a reader makes of it is not."""


def from_url(url: str) -> MemoryLog:
    """Return a new and empty log: each has its own topics, whatever the URL.

    Raises:
        ConfigurationError: something follows `memory://`.
    """
    parts = urlsplit(url)
    if parts.netloc or parts.path or parts.query or parts.fragment:
        raise ConfigurationError(f"{url!r} asks more than a log in memory has: give 'memory://' alone")
    return MemoryLog()


@dataclass(slots=True)
class _Use:
    """What an append with a key did."""

    at: float
    first: int
    position: Position


@dataclass(slots=True)
class _Topic:
    epoch: str
    seq: int = 0
    tag: str = ""
    closed: bool = False
    fence: int | None = None
    # Not a deque: a page from the middle is a slice here. To cut the beginning moves a pointer for each entry kept.
    entries: list[Entry] = field(default_factory=list)
    size: int = 0
    """Bytes of payload that are kept."""
    keys: dict[str, _Use] = field(default_factory=dict)
    """In the order of their use."""
    idle_since: float = field(default_factory=time.time)
    """When something was appended last, or the last entry went."""

    def head(self) -> Head:
        return Head(self.epoch, self.seq, self.tag, self.first_seq, self.closed)

    @property
    def position(self) -> Position:
        return Position(self.epoch, self.seq, self.tag)

    @property
    def first_seq(self) -> int:
        return self.seq - len(self.entries) + 1

    def after(self, seq: int, limit: int) -> tuple[Entry, ...]:
        start = max(seq + 1 - self.first_seq, 0)
        return tuple(self.entries[start : start + limit])

    def take(self, entries: tuple[Entry, ...], now: float) -> None:
        self.entries += entries
        if entries:
            self.seq, self.tag = entries[-1].seq, entries[-1].tag
        self.size += sum(len(entry.payload) for entry in entries)
        self.idle_since = now

    def duplicate(self, use: _Use) -> Appended:
        after = max(use.first, self.first_seq) - 1
        entries = self.after(after, use.position.seq - after) if use.position.seq > after else ()
        return Appended(self.epoch, entries, use.position, duplicate=True)

    def cut(self, retention: Retention, now: float) -> int:
        """Drop entries that are over a bound, oldest first; return how many."""
        oldest = ((entry.appended_at, len(entry.payload)) for entry in self.entries)
        gone, freed = count_over(oldest, len(self.entries), self.size, retention, now)
        del self.entries[:gone]
        self.size -= freed
        if gone and not self.entries:
            self.idle_since = now
        return gone

    def forget_keys(self, before: float) -> None:
        old = list[str]()
        for key, use in self.keys.items():
            if use.at >= before:
                break
            old.append(key)
        for key in old:
            del self.keys[key]

    def is_over(self, retention: Retention, now: float) -> bool:
        """Say whether the topic itself may go: a key that is remembered keeps it."""
        if self.entries or self.keys or retention.forget_after is None:
            return False
        return self.idle_since < now - retention.forget_after


class MemoryLog:
    """Topics in plain dictionaries: fast, and gone with the process.

    No method suspends, and the listener is told inside `append`. After `stop()` it may be started again, on
    another event loop too, and has kept its topics: a test suite makes many loops. It is watched anew.
    """

    guarantees = Guarantees(
        survives_process=False,
        survives_machine=False,
        shared=False,
        hints_may_be_lost=False,
        can_lose="Everything, when the process ends; readers that come back to the next one are told of a gap.",
    )

    def __init__(self) -> None:
        self._topics: dict[str, _Topic] = {}
        self._watched: set[str] = set()
        self._listener: Listener | None = None

    async def start(self, listener: Listener) -> None:
        """Tell `listener` of watched topics from now on."""
        self._listener = listener

    async def stop(self) -> None:
        """Refuse everything until the next `start`; the topics are kept."""
        self._listener = None
        self._watched.clear()

    async def append(
        self,
        topic: str,
        drafts: Sequence[Draft],
        *,
        key: str | None = None,
        fence: int | None = None,
        close: bool = False,
    ) -> Appended:
        """Append a batch, and tell the listener before it returns. See `Log.append`."""
        listener = self._open()
        check_batch(topic, drafts, key, fence, close)
        kept = self._topic(topic)
        if key is not None and (use := kept.keys.get(key)) is not None:
            return kept.duplicate(use)
        check_state(topic, kept.closed, kept.fence, fence)
        now = time.time()
        first, entries = kept.seq + 1, link(drafts, kept.seq, kept.tag, now)
        kept.take(entries, now)
        kept.closed = close
        kept.fence = kept.fence if fence is None else fence
        if key is not None:
            kept.keys[key] = _Use(now, first, kept.position)
        appended = Appended(kept.epoch, entries, kept.position)
        if topic in self._watched:
            listener.on_entries(topic, kept.epoch, entries, close)
        return appended

    async def read(self, topic: str, after: int, limit: int) -> Page:
        """Return a page; one that is near a megabyte ends."""
        self._open()
        kept = self._topic(topic)
        return Page(kept.head(), _bounded(kept.after(after, limit)))

    async def head(self, topic: str) -> Head:
        """Return the end of the topic."""
        self._open()
        return self._topic(topic).head()

    async def trim(self, topic: str, retention: Retention) -> int:
        """Drop what is over the bounds. A watched topic that was forgotten is told as a doubt."""
        listener = self._open()
        kept = self._topics.get(topic)
        if kept is None:
            return 0
        now = time.time()
        gone = kept.cut(retention, now)
        kept.forget_keys(now - retention.key_age)
        if kept.is_over(retention, now):
            del self._topics[topic]
            if topic in self._watched:
                listener.on_doubt((topic,))
        return gone

    async def topics(self) -> Sequence[str]:
        """Return the names of all topics."""
        self._open()
        return list(self._topics)

    async def watch(self, topic: str) -> None:
        """Tell the listener of this topic from now on."""
        self._open()
        self._watched.add(topic)

    async def unwatch(self, topic: str) -> None:
        """Tell the listener no more of this topic."""
        self._watched.discard(topic)

    def _open(self) -> Listener:
        if self._listener is None:
            raise LogUnavailable("the log in memory is not open: it was not started yet, or was stopped")
        return self._listener

    def _topic(self, name: str) -> _Topic:
        kept = self._topics.get(name)
        if kept is None:
            kept = self._topics[name] = _Topic(new_epoch())
        return kept


def _bounded(entries: tuple[Entry, ...]) -> tuple[Entry, ...]:
    size = 0
    for count, entry in enumerate(entries, 1):
        size += len(entry.payload)
        if size >= PAGE_BYTES:
            return entries[:count]
    return entries
