"""The tables, and how a connection to them is opened."""

from __future__ import annotations

import sqlite3
import time

from unbroken.errors import LogUnavailable
from unbroken.logs.sqlite.place import Place, is_busy

__all__ = ["open_reader", "open_writer"]

APPLICATION = 0x756E6272
"""`unbr`: so that `file` and we know the file again."""

VERSION = 1

# AUTOINCREMENT: no id is given twice in one history of the file. There is one writer at a time, so an entry's id is its
# place in the order of commits, over all topics: what is new is what is above the last id seen.
# The payload stands last: a row can be read up to it without the pages that a long one fills.
TABLES = """
CREATE TABLE topics (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    name TEXT NOT NULL UNIQUE,
    epoch TEXT NOT NULL,
    seq INTEGER NOT NULL,
    tag TEXT NOT NULL,
    closed INTEGER NOT NULL,
    fence INTEGER,
    size INTEGER NOT NULL,
    idle_since REAL NOT NULL
) STRICT;
CREATE TABLE entries (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    topic INTEGER NOT NULL,
    seq INTEGER NOT NULL,
    tag TEXT NOT NULL,
    previous TEXT NOT NULL,
    appended_at REAL NOT NULL,
    payload BLOB NOT NULL
) STRICT;
CREATE UNIQUE INDEX entries_of_topic ON entries (topic, seq);
CREATE TABLE keys (
    topic INTEGER NOT NULL,
    key TEXT NOT NULL,
    used_at REAL NOT NULL,
    first INTEGER NOT NULL,
    seq INTEGER NOT NULL,
    tag TEXT NOT NULL,
    PRIMARY KEY (topic, key)
) STRICT, WITHOUT ROWID;
CREATE INDEX keys_by_age ON keys (topic, used_at);
CREATE TABLE closings (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    topic INTEGER NOT NULL
) STRICT;
CREATE INDEX closings_of_topic ON closings (topic)
"""


def open_writer(place: Place) -> sqlite3.Connection:
    """Open the file to write, and make what is missing in it.

    Raises:
        LogUnavailable: it cannot be opened, is another program's, or was made by a newer version.
    """
    connection = _connect(place, "rwc")
    try:
        _prepare(connection, place)
    except BaseException:
        connection.close()
        raise
    return connection


def open_reader(place: Place) -> sqlite3.Connection:
    """Open the file to read only; it may be closed by another thread than it was opened by."""
    # Not mode=ro: such a connection cannot make the journal's index, and would depend on the writer to have it open.
    connection = _connect(place, "rw")
    connection.execute("PRAGMA query_only = ON")
    return connection


def _connect(place: Place, mode: str) -> sqlite3.Connection:
    try:
        return sqlite3.connect(
            f"{place.path.as_uri()}?mode={mode}",
            uri=True,
            timeout=place.busy_timeout,
            isolation_level=None,  # transactions are ours: sqlite3's own begin where it thinks fit
            check_same_thread=False,
        )
    except sqlite3.Error as error:
        raise place.unavailable(error) from error


def _prepare(connection: sqlite3.Connection, place: Place) -> None:
    try:
        _use_wal(connection, place)
        connection.execute(f"PRAGMA synchronous = {place.synchronous}")
        # We copy the journal back ourselves: see Writer.
        connection.execute("PRAGMA wal_autocheckpoint = 0")
        connection.execute("BEGIN IMMEDIATE")
        _check_or_make(connection, place)
        connection.execute("COMMIT")
    except sqlite3.Error as error:
        raise place.unavailable(error) from error


def _use_wal(connection: sqlite3.Connection, place: Place) -> None:
    """Have the file journal ahead. Only in that mode nobody who reads waits for one who writes."""
    # Several processes may start at once, and SQLite does not wait for its lock here.
    deadline = time.monotonic() + place.busy_timeout
    while True:
        try:
            (mode,) = connection.execute("PRAGMA journal_mode = WAL").fetchone()
        except sqlite3.OperationalError as error:
            if not is_busy(error) or time.monotonic() > deadline:
                raise
            time.sleep(0.005)
        else:
            break
    if mode != "wal":
        raise LogUnavailable(f"the log {place.path} cannot be used: its file system has no shared memory for SQLite")


def _check_or_make(connection: sqlite3.Connection, place: Place) -> None:
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    (application,) = connection.execute("PRAGMA application_id").fetchone()
    (tables,) = connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()
    if tables == 0:
        _make(connection)
    elif application != APPLICATION:
        raise LogUnavailable(
            f"the log {place.path} cannot be used: it is another program's database; name another file"
        )
    elif version > VERSION:
        newer = f"it has version {version} and this is made for {VERSION}"
        raise LogUnavailable(f"the log {place.path} cannot be used: {newer}; take a newer unbroken, or another file")


def _make(connection: sqlite3.Connection) -> None:
    for statement in TABLES.split(";"):  # executescript would commit first
        connection.execute(statement)
    connection.execute(f"PRAGMA application_id = {APPLICATION}")
    connection.execute(f"PRAGMA user_version = {VERSION}")
