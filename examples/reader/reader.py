"""Counts what the shop sells: each sale once, however often this process or the shop is killed.

python examples/reader/reader.py
"""

import contextlib
import logging
import os
import sqlite3

from unbroken.client import Gap, SyncEventSource

FEED = os.environ.get("FEED_URL", "http://127.0.0.1:8000/sales/feed")
DATABASE = os.environ.get("DATABASE", "stock.db")

SCHEMA = """
CREATE TABLE IF NOT EXISTS sold (product TEXT PRIMARY KEY, count INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS place (feed TEXT PRIMARY KEY, last_event_id TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS gap (data TEXT PRIMARY KEY);
"""


def opened(path):
    database = sqlite3.connect(path)
    database.executescript(SCHEMA)
    return database


def place_in(database):
    found = database.execute("SELECT last_event_id FROM place WHERE feed = ?", (FEED,)).fetchone()
    return None if found is None else found[0]


def count_sale(database, event):
    sale = event.json()
    database.execute(
        "INSERT INTO sold VALUES (:product, :count) ON CONFLICT DO UPDATE SET count = count + :count",
        {"product": sale["product"], "count": sale["count"]},
    )
    database.execute("REPLACE INTO place VALUES (?, ?)", (FEED, event.last_event_id))


def note_gap(database, gap):
    # The shop's retention was too short for us: somebody has to count the stock. Until another event has come a gap may
    # be told again, with the same data.
    logging.error("sales are missing: %s", gap)
    database.execute("INSERT OR IGNORE INTO gap VALUES (?)", (gap.data,))


def handle(database, event):
    with database:  # one transaction: the sale is counted and the place moves on, or neither
        if isinstance(event, Gap):
            note_gap(database, event)
        else:
            count_sale(database, event)


def main():
    database = opened(DATABASE)
    with SyncEventSource(FEED, last_event_id=place_in(database), gaps="event") as events:
        for event in events:
            handle(database, event)
            print(event.event, event.data, flush=True)


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO)
    with contextlib.suppress(KeyboardInterrupt):
        main()
