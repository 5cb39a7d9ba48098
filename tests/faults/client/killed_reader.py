"""Two readers in a process that is killed: one keeps its place in a file, one in its own transaction."""

from __future__ import annotations

import sqlite3
import sys
import threading
from pathlib import Path

from unbroken.client import SyncEventSource

__all__ = ["HANDLED", "TABLE", "TRANSACTIONS"]

HANDLED = "handled.txt"
TRANSACTIONS = "handled.db"
TABLE = "create table if not exists handled (data, id)"


def at_least_once(url: str, folder: Path) -> None:
    """Write down each event in one step; the client keeps the place when the next event is asked for."""
    with (
        (folder / HANDLED).open("ab", buffering=0) as handled,
        SyncEventSource(url, store=folder / "place", reconnect_delay=0) as events,
    ):
        for event in events:
            handled.write(event.data.encode() + b"\n")


def exactly_once(url: str, folder: Path) -> None:
    """Write down each event together with its place."""
    database = sqlite3.connect(folder / TRANSACTIONS, isolation_level=None)
    # Without waiting for the disk: it is the process that dies, not the machine.
    database.executescript(f"pragma journal_mode=wal; pragma synchronous=off; {TABLE}")
    last = database.execute("select id from handled order by rowid desc limit 1").fetchone()
    with SyncEventSource(url, last_event_id=last[0] if last else None, reconnect_delay=0) as events:
        for event in events:
            database.execute("insert into handled values (?, ?)", (event.data, event.last_event_id))
    database.close()


def main() -> None:
    first, second, folder = sys.argv[1], sys.argv[2], Path(sys.argv[3])
    readers = [
        threading.Thread(target=at_least_once, args=(first, folder)),
        threading.Thread(target=exactly_once, args=(second, folder)),
    ]
    for reader in readers:
        reader.start()
    for reader in readers:
        reader.join()


if __name__ == "__main__":
    main()
