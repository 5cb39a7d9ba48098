"""The log's file from outside: what it ever held is written down by triggers, and its history can be taken back."""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path

from unbroken.logs import Draft, Position
from unbroken.logs.sqlite import from_url
from unbroken.logs.sqlite.transaction import Transaction

from .truth import Fact, Place, Truth

__all__ = ["Database"]

# The payload is copied, since a trim takes the entry. No key: a file that was set back gives its numbers anew.
TRIGGERS = """
CREATE TABLE truth (topic TEXT, epoch TEXT, seq INTEGER, tag TEXT, previous TEXT, at REAL, payload TEXT);
CREATE TABLE dropped (topic TEXT, epoch TEXT, seq INTEGER, tag TEXT);
CREATE TRIGGER appended AFTER INSERT ON entries BEGIN
    INSERT INTO truth SELECT name, epoch, NEW.seq, NEW.tag, NEW.previous, NEW.appended_at, CAST(NEW.payload AS TEXT)
    FROM topics WHERE id = NEW.topic;
END;
CREATE TRIGGER dropped AFTER DELETE ON entries BEGIN
    INSERT INTO dropped SELECT name, epoch, OLD.seq, OLD.tag FROM topics WHERE id = OLD.topic;
END;
"""


class Database:
    """One file of SQLite that servers keep their topics in."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.url = f"sqlite:///{path}?synchronous=normal"
        self._known = Truth()
        """What is in no file any more, or was done by us."""

    async def create(self) -> None:
        """Make the file, by the log itself, and have everything written down."""
        log = from_url(self.url)
        await log.start(_Nobody())
        await log.stop()
        with self._connection() as connection:
            connection.executescript(TRIGGERS)

    def truth(self) -> Truth:
        """Return all that ever was."""
        known = self._known
        with self._connection() as connection:
            rows = connection.execute("SELECT topic, epoch, seq, tag, previous, at, payload FROM truth")
            facts = {_place(row): Fact(*row[4:]) for row in rows}
            dropped = {_place(row) for row in connection.execute("SELECT topic, epoch, seq, tag FROM dropped")}
        known.facts.update(facts)
        known.trimmed.update(dropped - known.undone)
        return known

    def take_back(self, topic: str, count: int, anew: Sequence[str] = ()) -> int:
        """Delete the newest entries of a topic, with their keys, and set its end back; return how many.

        What is written `anew`, in the same commit, is what others publish before anybody has looked.
        """
        with self._writing() as connection:
            found = connection.execute("SELECT id, epoch FROM topics WHERE name = ?", (topic,)).fetchone()
            if found is None:
                return 0
            id_, epoch = found
            newest = "SELECT seq, tag, previous FROM entries WHERE topic = ? ORDER BY seq DESC LIMIT ?"
            rows = connection.execute(newest, (id_, count)).fetchall()
            if not rows:
                return 0
            first, _, previous = rows[-1]
            self._known.undone.update((topic, Position(epoch, seq, tag)) for seq, tag, _ in rows)
            connection.execute("DELETE FROM entries WHERE topic = ? AND seq >= ?", (id_, first))
            connection.execute("DELETE FROM keys WHERE topic = ? AND seq >= ?", (id_, first))
            connection.execute("UPDATE topics SET seq = ?, tag = ? WHERE id = ?", (first - 1, previous, id_))
            transaction = Transaction(connection)
            for data in anew:
                transaction.append(topic, [Draft(f"data: {data}\n".encode())], None, None, False)
            transaction.finish()
            return len(rows)

    def lose(self, topic: str) -> bool:
        """Delete a topic, as if it had never been; say whether there was one."""
        with self._writing() as connection:
            found = connection.execute("SELECT id, epoch FROM topics WHERE name = ?", (topic,)).fetchone()
            if found is None:
                return False
            for table, column in (("entries", "topic"), ("keys", "topic"), ("closings", "topic"), ("topics", "id")):
                connection.execute(f"DELETE FROM {table} WHERE {column} = ?", found[:1])
            self._known.lost.add((topic, found[1]))
            return True

    # Of the whole file, while nobody has it open.

    def copy(self, place: Path) -> None:
        """Take a copy, as a backup does."""
        with self._connection() as connection, closing(sqlite3.connect(place)) as copy:
            connection.backup(copy)

    def restore(self, place: Path) -> None:
        """Put a copy in the file's place."""
        self.truth()
        self.remove()
        shutil.copy(place, self.path)
        with self._connection() as connection:
            rows = connection.execute("SELECT topic, epoch, seq, tag FROM truth")
            kept = {_place(row) for row in rows}
        self._known.undone.update(place for place in self._known.facts if place not in kept)

    def remove(self) -> None:
        """Delete the file and its journal."""
        for suffix in ("", "-wal", "-shm"):
            self.path.with_name(self.path.name + suffix).unlink(missing_ok=True)

    def lose_all(self) -> None:
        """Delete all, as a container without a volume does; `create` must follow."""
        with self._connection() as connection:
            epochs = connection.execute("SELECT name, epoch FROM topics").fetchall()
        self.truth()
        self._known.lost.update(epochs)
        self.remove()

    def ends(self) -> dict[str, Position]:
        """Return the end of each topic."""
        with self._connection() as connection:
            rows = connection.execute("SELECT name, epoch, seq, tag FROM topics")
            return {_place(row)[0]: _place(row)[1] for row in rows}

    def is_whole(self) -> bool:
        """Whether SQLite finds no fault with the file."""
        with self._connection() as connection:
            return bool(connection.execute("PRAGMA integrity_check").fetchone() == ("ok",))

    @contextmanager
    def _connection(self) -> Iterator[sqlite3.Connection]:
        with closing(sqlite3.connect(self.path, timeout=20, isolation_level=None)) as connection:
            # Only the log checkpoints: its own way of it is under test, too.
            connection.execute("PRAGMA wal_autocheckpoint = 0")
            yield connection

    @contextmanager
    def _writing(self) -> Iterator[sqlite3.Connection]:
        with self._connection() as connection:
            connection.execute("BEGIN IMMEDIATE")
            try:
                yield connection
            except BaseException:
                connection.execute("ROLLBACK")
                raise
            connection.execute("COMMIT")


class _Nobody:
    """Listens to nothing."""

    def on_entries(self, topic: str, epoch: str, entries: object, closed: bool) -> None:
        """Let it be."""

    def on_doubt(self, topics: object) -> None:
        """Let it be."""

    def on_trouble(self, why: object) -> None:
        """Let it be."""


def _place(row: tuple[str, str, int, str]) -> Place:
    return row[0], Position(*row[1:4])
