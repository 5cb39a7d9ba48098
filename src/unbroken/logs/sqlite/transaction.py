"""What is done to the topics in one transaction."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Sequence
from dataclasses import dataclass, field

from unbroken.logs.batch import check_state, link, new_epoch
from unbroken.logs.contract import Appended, Draft, Entry, Retention
from unbroken.logs.overflow import count_over
from unbroken.logs.position import Position

__all__ = ["News", "Transaction", "Trimmed"]

CHUNK = 500
"""Entries or keys that one step of a trim drops at most: no append waits for more than that."""

ENTRY_COLUMNS = "seq, tag, previous, payload, appended_at"
TOPIC_COLUMNS = "id, epoch, seq, tag, closed, fence, size, idle_since"


@dataclass(slots=True)
class _Topic:
    id: int
    epoch: str
    seq: int
    tag: str
    closed: int
    fence: int | None
    size: int
    idle_since: float
    changed: bool = False

    @property
    def position(self) -> Position:
        return Position(self.epoch, self.seq, self.tag)


@dataclass(slots=True)
class News:
    """What became visible of one topic."""

    entries: list[Entry] = field(default_factory=list)
    closed: bool = False


@dataclass(frozen=True, slots=True)
class Trimmed:
    """What one step of a trim did."""

    gone: int
    more: bool
    forgotten: bool


class Transaction:
    """Appends and trims between a BEGIN IMMEDIATE and its COMMIT, which are the writer's."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        # Read once and written once, by `finish`: a group has many appends to one topic.
        self._topics: dict[str, _Topic] = {}
        self.news: dict[tuple[str, str], News] = {}
        """By topic and epoch."""

    def make(self, name: str) -> None:
        """Have the topic, if only now."""
        self._topic(name)

    def append(self, name: str, drafts: Sequence[Draft], key: str | None, fence: int | None, close: bool) -> Appended:
        """Append a batch.

        Raises:
            Fenced, TopicClosed: as the contract says; nothing was written.
        """
        topic = self._topic(name)
        if key is not None and (first := self._appended_with(topic, key)) is not None:
            return first
        check_state(name, bool(topic.closed), topic.fence, fence)
        now = time.time()
        entries = link(drafts, topic.seq, topic.tag, now)
        self._insert(topic, entries)
        if key is not None:
            first_seq = topic.seq - len(entries) + 1
            row = (topic.id, key, now, first_seq, topic.seq, topic.tag)
            self._connection.execute(
                "INSERT INTO keys (topic, key, used_at, first, seq, tag) VALUES (?, ?, ?, ?, ?, ?)", row
            )
        topic.fence = topic.fence if fence is None else fence
        topic.idle_since, topic.changed = now, True
        if close:
            topic.closed = 1
            self._connection.execute("INSERT INTO closings (topic) VALUES (?)", (topic.id,))
        self._note(name, topic.epoch, entries, close)
        return Appended(topic.epoch, entries, topic.position)

    def trim(self, name: str, retention: Retention) -> Trimmed:
        """Drop up to a chunk of what is over the bounds. Another step is needed if there may be more."""
        topic = self._found(name)
        if topic is None:
            return Trimmed(0, more=False, forgotten=False)
        now = time.time()
        gone = self._cut(topic, retention, now)
        keys = self._forget_keys(topic, now - retention.key_age)
        more = gone == CHUNK or keys == CHUNK
        return Trimmed(gone, more, forgotten=not more and self._forget(name, topic, retention, now))

    def finish(self) -> None:
        """Write what has changed of the topics themselves."""
        rows = [
            (topic.seq, topic.tag, topic.closed, topic.fence, topic.size, topic.idle_since, topic.id)
            for topic in self._topics.values()
            if topic.changed
        ]
        self._connection.executemany(
            "UPDATE topics SET seq = ?, tag = ?, closed = ?, fence = ?, size = ?, idle_since = ? WHERE id = ?", rows
        )

    def _topic(self, name: str) -> _Topic:
        return self._found(name) or self._made(name)

    def _found(self, name: str) -> _Topic | None:
        topic = self._topics.get(name)
        if topic is None:
            row = self._connection.execute(f"SELECT {TOPIC_COLUMNS} FROM topics WHERE name = ?", (name,)).fetchone()  # noqa: S608
            if row is not None:
                topic = self._topics[name] = _Topic(*row)
        return topic

    def _made(self, name: str) -> _Topic:
        epoch, now = new_epoch(), time.time()
        made = self._connection.execute(
            "INSERT INTO topics (name, epoch, seq, tag, closed, size, idle_since) VALUES (?, ?, 0, '', 0, 0, ?)",
            (name, epoch, now),
        )
        assert made.lastrowid is not None
        topic = self._topics[name] = _Topic(made.lastrowid, epoch, 0, "", 0, None, 0, now)
        return topic

    def _insert(self, topic: _Topic, entries: Sequence[Entry]) -> None:
        rows = [(topic.id, e.seq, e.tag, e.previous, e.appended_at, e.payload) for e in entries]
        self._connection.executemany(
            "INSERT INTO entries (topic, seq, tag, previous, appended_at, payload) VALUES (?, ?, ?, ?, ?, ?)", rows
        )
        if entries:
            topic.seq, topic.tag = entries[-1].seq, entries[-1].tag
        topic.size += sum(len(entry.payload) for entry in entries)

    def _appended_with(self, topic: _Topic, key: str) -> Appended | None:
        use = self._connection.execute(
            "SELECT first, seq, tag FROM keys WHERE topic = ? AND key = ?", (topic.id, key)
        ).fetchone()
        if use is None:
            return None
        first, seq, tag = use
        rows = self._connection.execute(
            f"SELECT {ENTRY_COLUMNS} FROM entries WHERE topic = ? AND seq BETWEEN ? AND ? ORDER BY seq",  # noqa: S608
            (topic.id, first, seq),
        )
        entries = tuple(Entry(*row) for row in rows)
        return Appended(topic.epoch, entries, Position(topic.epoch, seq, tag), duplicate=True)

    def _note(self, name: str, epoch: str, entries: Sequence[Entry], closed: bool) -> None:
        news = self.news.setdefault((name, epoch), News())
        news.entries += entries
        news.closed |= closed

    def _cut(self, topic: _Topic, retention: Retention, now: float) -> int:
        (first,) = self._connection.execute("SELECT min(seq) FROM entries WHERE topic = ?", (topic.id,)).fetchone()
        if first is None:
            return 0
        oldest = self._connection.execute(
            "SELECT appended_at, length(payload) FROM entries WHERE topic = ? ORDER BY seq LIMIT ?", (topic.id, CHUNK)
        )
        kept = topic.seq - first + 1
        gone, freed = count_over(oldest, kept, topic.size, retention, now)
        oldest.close()
        if gone:
            self._connection.execute("DELETE FROM entries WHERE topic = ? AND seq < ?", (topic.id, first + gone))
            topic.size -= freed
            topic.idle_since = now if gone == kept else topic.idle_since
            topic.changed = True
        return gone

    def _forget_keys(self, topic: _Topic, before: float) -> int:
        dropped = self._connection.execute(
            "DELETE FROM keys WHERE topic = ? AND key IN"
            " (SELECT key FROM keys WHERE topic = ? AND used_at < ? ORDER BY used_at LIMIT ?)",
            (topic.id, topic.id, before, CHUNK),
        )
        return dropped.rowcount

    def _forget(self, name: str, topic: _Topic, retention: Retention, now: float) -> bool:
        """Forget a topic that has been empty for long; a key that is remembered keeps it."""
        if retention.forget_after is None or topic.idle_since >= now - retention.forget_after:
            return False
        (kept,) = self._connection.execute(
            "SELECT EXISTS (SELECT 1 FROM entries WHERE topic = ?) OR EXISTS (SELECT 1 FROM keys WHERE topic = ?)",
            (topic.id, topic.id),
        ).fetchone()
        if kept:
            return False
        self._connection.execute("DELETE FROM topics WHERE id = ?", (topic.id,))
        self._connection.execute("DELETE FROM closings WHERE topic = ?", (topic.id,))
        del self._topics[name]
        return True
