"""A program that is killed, and started again, goes on where it was."""

from __future__ import annotations

import random
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from itertools import groupby
from pathlib import Path

import pytest

from .feed import Feeds, Plan, serving
from .killed_reader import HANDLED, TABLE, TRANSACTIONS

ROOT = Path(__file__).resolve().parents[3]
DEADLINE = 20.0


@contextmanager
def running(*arguments: str) -> Iterator[subprocess.Popen[bytes]]:
    """Run the readers until the context is left, and kill them then."""
    with subprocess.Popen([sys.executable, "-m", f"{__package__}.killed_reader", *arguments], cwd=ROOT) as process:
        try:
            yield process
        finally:
            process.kill()


def until(condition: Callable[[], bool], process: subprocess.Popen[bytes]) -> None:
    """Wait for what the readers do."""
    deadline = time.monotonic() + DEADLINE
    while not condition():
        assert time.monotonic() < deadline
        assert process.poll() is None, "they ended by themselves"
        time.sleep(0.001)


def in_file(folder: Path) -> list[int]:
    """Return what the first reader has written down."""
    file = folder / HANDLED
    return [int(line.split()[0]) for line in file.read_text().splitlines()] if file.exists() else []


def in_database(folder: Path) -> list[int]:
    """Return what the second reader has written down."""
    with closing(sqlite3.connect(folder / TRANSACTIONS)) as database:
        database.execute(TABLE)
        return [int(row[0].split()[0]) for row in database.execute("select data from handled order by rowid")]


def check(folder: Path, kills: int, between: int) -> None:
    """Kill the readers so often, after up to so many events each time, and let them end then."""
    seed = random.randrange(2**32)
    rng, feeds = random.Random(seed), Feeds()
    plans = [Plan(total=between, rng=rng, grows=True, length=20, repeats=repeats) for repeats in (0, 1)]
    paths = [feeds.add("own", plan) for plan in plans]
    with serving(feeds) as port:
        urls = [f"http://127.0.0.1:{port}{path}" for path in paths]
        for kill in range(kills):
            # They are killed while they read; or, where they were faster than the blow, while they wait for more.
            wanted = between * kill + rng.randint(1, between)
            with running(*urls, str(folder)) as process:
                until(lambda: min(len(in_file(folder)), len(in_database(folder))) >= wanted, process)  # noqa: B023
            for plan in plans:
                plan.total += between
        for plan in plans:
            plan.grows = False
        with running(*urls, str(folder)) as process:
            assert process.wait(DEADLINE) == 0
    everything = list(range(1, plans[0].total + 1))
    handled = in_file(folder)
    assert [number for number, _ in groupby(handled)] == everything, f"seed={seed}"
    assert len(handled) <= len(everything) + kills, f"seed={seed}"
    assert in_database(folder) == everything, f"seed={seed}"


def test_each_event_is_handled(tmp_path: Path) -> None:
    """At least once with a store, one at most again per kill; exactly once where the place is in the transaction."""
    check(tmp_path, 4, 300)


@pytest.mark.soak
@pytest.mark.timeout(600)
def test_each_event_is_handled_through_fifty_kills(tmp_path: Path) -> None:
    """As above, for longer."""
    check(tmp_path, 50, 1000)
