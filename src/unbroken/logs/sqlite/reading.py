"""Pages of the file, read by a few threads."""

from __future__ import annotations

import asyncio
import sqlite3
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from unbroken.logs.contract import Entry, Head, Page
from unbroken.logs.sqlite.place import Place
from unbroken.logs.sqlite.schema import open_reader
from unbroken.logs.sqlite.transaction import ENTRY_COLUMNS

__all__ = ["Readers", "page", "topics"]

T = TypeVar("T")

THREADS = 4
"""SQLite reads without Python's lock, but what it finds becomes objects under it: more threads gain nothing."""

PAGE_BYTES = 1024 * 1024
"""Payload after which a page ends."""


class Readers:
    """A pool of threads, each with a connection of its own. To be used on the event loop."""

    def __init__(self, place: Place) -> None:
        self._place = place
        self._pool = ThreadPoolExecutor(THREADS, "unbroken-sqlite-reader")
        self._local = threading.local()
        self._open: dict[int, sqlite3.Connection] = {}
        """By thread."""

    async def run(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """Return what `work` reads in one snapshot.

        Raises:
            LogUnavailable: the file cannot be read.
        """
        return await asyncio.get_running_loop().run_in_executor(self._pool, self._read, work)

    async def stop(self) -> None:
        """Let reads that have begun come to their end, and close all."""
        await asyncio.to_thread(self._pool.shutdown)
        while self._open:
            self._open.popitem()[1].close()

    def _read(self, work: Callable[[sqlite3.Connection], T]) -> T:
        try:
            connection = self._current()
            connection.execute("BEGIN")
            try:
                return work(connection)
            finally:
                connection.execute("ROLLBACK")
        except sqlite3.Error as error:
            raise self._place.unavailable(error) from error

    def _current(self) -> sqlite3.Connection:
        """Return this thread's connection, to the file that stands at the path now."""
        thread, identity = threading.get_ident(), self._place.identity()
        connection = self._open.get(thread)
        if connection is None or self._local.identity != identity:
            if connection is not None:
                self._open.pop(thread).close()  # not kept: the next line may fail
            connection = self._open[thread] = open_reader(self._place)
            self._local.identity = identity
        return connection


def page(connection: sqlite3.Connection, topic: str, after: int, limit: int) -> Page | None:
    """Read a page; None if there is no such topic."""
    row = connection.execute("SELECT id, epoch, seq, tag, closed FROM topics WHERE name = ?", (topic,)).fetchone()
    if row is None:
        return None
    id_, epoch, seq, tag, closed = row
    (first,) = connection.execute("SELECT min(seq) FROM entries WHERE topic = ?", (id_,)).fetchone()
    head = Head(epoch, seq, tag, seq + 1 if first is None else first, bool(closed))
    return Page(head, tuple(_entries(connection, id_, after, limit)))


def topics(connection: sqlite3.Connection) -> Sequence[str]:
    """Read the names of all topics."""
    return [name for (name,) in connection.execute("SELECT name FROM topics")]


def _entries(connection: sqlite3.Connection, topic: int, after: int, limit: int) -> list[Entry]:
    if limit <= 0:
        return []
    rows = connection.execute(
        f"SELECT {ENTRY_COLUMNS} FROM entries WHERE topic = ? AND seq > ? ORDER BY seq LIMIT ?",  # noqa: S608
        (topic, after, limit),
    )
    entries, size = list[Entry](), 0
    for row in rows:
        entries.append(Entry(*row))
        size += len(entries[-1].payload)
        if size >= PAGE_BYTES:
            break
    rows.close()
    return entries
