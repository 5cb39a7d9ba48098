"""What other processes have appended."""

from __future__ import annotations

import sqlite3
from collections.abc import Collection
from dataclasses import dataclass

from unbroken.logs.contract import Entry
from unbroken.logs.sqlite.transaction import News

__all__ = ["Follower", "Mark"]

MAX_BYTES = 4 * 1024 * 1024
MAX_ENTRIES = 1000
"""What is handed over at once, at most. Who has fallen behind by more reads the log at his own pace."""


@dataclass(frozen=True, slots=True)
class Mark:
    """The end of the file, over all topics, as it was seen."""

    entry: int
    tag: str
    """Empty if that entry was trimmed, or there was none yet."""
    closing: int


class Follower:
    """Finds what was appended by others since the last look. To be used by the writer's thread only."""

    # It looks through the writer's own connection: `data_version` counts only what others commit. And within the
    # writer's transaction, before its own entries: others cannot commit then, so that what is above the mark is theirs.

    def __init__(self, watched: Collection[str]) -> None:
        self._watched = watched
        self._mark: Mark | None = None
        self._version = -1
        self.active = False

    def begin(self, connection: sqlite3.Connection) -> None:
        """Look from here on, if not already."""
        if not self.active:
            self._version = _version(connection)
            self._mark, self.active = end_of(connection), True

    def rest(self) -> None:
        """Look no more: nothing is watched."""
        self.active = False

    def lose(self) -> None:
        """Count the place as lost: the next look is a doubt."""
        self._mark, self._version = None, -1

    def move(self, mark: Mark) -> None:
        """Stand behind what the writer itself has committed."""
        self._mark = mark

    def look(self, connection: sqlite3.Connection, news: dict[tuple[str, str], News]) -> bool:
        """Add what is new of watched topics to `news`; False if something may have been missed."""
        version = _version(connection)
        if version == self._version:
            return True
        # One snapshot for all that follows, unless the writer's transaction is one already.
        own = not connection.in_transaction
        if own:
            connection.execute("BEGIN")
        try:
            return self._catch_up(connection, news)
        finally:
            self._version = version
            if own:
                connection.execute("COMMIT")

    def _catch_up(self, connection: sqlite3.Connection, news: dict[tuple[str, str], News]) -> bool:
        mark, end = self._mark, end_of(connection)
        self._mark = end
        if mark is None or not _follows(connection, mark, end) or end.entry - mark.entry > MAX_ENTRIES:
            return False
        self._add_closings(connection, mark, news)
        return self._add_entries(connection, mark, news)

    def _add_entries(self, connection: sqlite3.Connection, mark: Mark, news: dict[tuple[str, str], News]) -> bool:
        rows = connection.execute(
            "SELECT t.name, t.epoch, e.seq, e.tag, e.previous, e.appended_at, e.id FROM entries AS e"
            " JOIN topics AS t ON t.id = e.topic WHERE e.id > ? ORDER BY e.id",
            (mark.entry,),
        ).fetchall()
        size = 0
        for name, epoch, seq, tag, previous, appended_at, row in rows:
            if name not in self._watched:
                continue
            (payload,) = connection.execute("SELECT payload FROM entries WHERE id = ?", (row,)).fetchone()
            size += len(payload)
            if size > MAX_BYTES:
                return False
            entry = Entry(seq, tag, previous, payload, appended_at)
            news.setdefault((name, epoch), News()).entries.append(entry)
        return True

    def _add_closings(self, connection: sqlite3.Connection, mark: Mark, news: dict[tuple[str, str], News]) -> None:
        rows = connection.execute(
            "SELECT t.name, t.epoch FROM closings AS c JOIN topics AS t ON t.id = c.topic WHERE c.id > ?",
            (mark.closing,),
        )
        for name, epoch in rows:
            if name in self._watched:
                news.setdefault((name, epoch), News()).closed = True


def end_of(connection: sqlite3.Connection) -> Mark:
    """Return the end of the file, as it is now."""
    given = dict(connection.execute("SELECT name, seq FROM sqlite_sequence").fetchall())
    entry = given.get("entries", 0)
    return Mark(entry, _tag_of(connection, entry), given.get("closings", 0))


def _follows(connection: sqlite3.Connection, mark: Mark, end: Mark) -> bool:
    """Say whether the history that ends with `end` is the one in which `mark` was.

    A file that was set back gives its ids anew. A trim may have taken the entry too: that costs a needless look.
    """
    ahead = mark.entry <= end.entry and mark.closing <= end.closing
    return ahead and _tag_of(connection, mark.entry) == mark.tag


def _tag_of(connection: sqlite3.Connection, entry: int) -> str:
    row = connection.execute("SELECT tag FROM entries WHERE id = ?", (entry,)).fetchone()
    return "" if row is None else str(row[0])


def _version(connection: sqlite3.Connection) -> int:
    (version,) = connection.execute("PRAGMA data_version").fetchone()
    return int(version)
