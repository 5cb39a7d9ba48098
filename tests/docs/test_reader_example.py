"""The example that reads a feed from another process counts each event once, whoever is killed."""

from __future__ import annotations

import asyncio
import contextlib
import importlib.util
import random
import signal
import sqlite3
import subprocess
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import pytest

from tests.docs.programs import running, until
from tests.e2e.serving import ROOT, served
from unbroken import Hub
from unbroken.client import Gap

FOLDER = ROOT / "examples" / "reader"
STEP = 20
DEADLINE = 20.0


def reading(environment: dict[str, str], output: Path) -> AbstractContextManager[subprocess.Popen[bytes]]:
    """Run the reader as its users do, and kill it."""
    return running(FOLDER / "reader.py", environment, output)


def until_more(process: subprocess.Popen[bytes], output: Path) -> None:
    """Wait until the reader has said of some more sales that they are counted."""

    def said() -> int:
        return output.read_bytes().count(b"\nsale ")

    enough = said() + STEP
    until(lambda: said() >= enough, process, output, DEADLINE)


def sold(path: Path) -> dict[str, int]:
    """Return what the reader has counted."""
    with contextlib.closing(sqlite3.connect(path)) as database:
        return dict(database.execute("SELECT product, count FROM sold"))


@contextlib.contextmanager
def selling(url: str) -> Iterator[Counter[str]]:
    """Publish sales in a thread, as a process of the shop does, and count what was sold."""
    expected, closing = Counter[str](), threading.Event()

    async def sell() -> None:
        async with Hub(url) as hub:
            while not closing.is_set():
                product, count = random.choice("abc"), random.randint(1, 9)
                await hub.publish("sales", {"product": product, "count": count}, event="sale")
                expected[product] += count
                await asyncio.sleep(0.01)

    thread = threading.Thread(target=asyncio.run, args=(sell(),))
    thread.start()
    try:
        yield expected
    finally:
        closing.set()
        thread.join()


def test_each_sale_once_through_kills(tmp_path: Path) -> None:
    """The reader is killed twice in its midst, and the shop once under it: the sums are exact, and no gap was told.

    Ctrl-C is a good end.
    """
    url, stock, output = f"sqlite:///{tmp_path / 'shop.db'}", tmp_path / "stock.db", tmp_path / "output"

    with served("examples/reader", HUB_URL=url) as shop:
        environment = {"FEED_URL": f"{shop.url}sales/feed", "DATABASE": str(stock)}
        with selling(url) as before:
            for _ in range(2):
                with reading(environment, output) as process:
                    until_more(process, output)
        with reading(environment, output) as process:
            with selling(url) as after:
                until_more(process, output)
                shop.restart()
                until_more(process, output)
            expected = before + after
            until(lambda: sum(sold(stock).values()) >= expected.total(), process, output, DEADLINE)
            process.send_signal(signal.SIGINT)
            assert process.wait(DEADLINE) == 0
    assert sold(stock) == expected
    said = output.read_text()
    assert ("missing" in said, "Traceback" in said) == (False, False)


@pytest.fixture
def reader() -> Any:
    """The example's module."""
    spec = importlib.util.spec_from_file_location("example_reader", FOLDER / "reader.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_a_gap_is_noted_once(reader: Any, tmp_path: Path) -> None:
    """However often it is told; and the place stays where it was."""
    gap = Gap("stream-gap", '{"missed":3}', "7", "trimmed", "sales", "7", "11", 3)
    with contextlib.closing(reader.opened(tmp_path / "stock.db")) as database:
        for _ in range(2):
            reader.handle(database, gap)
        assert database.execute("SELECT data FROM gap").fetchall() == [('{"missed":3}',)]
        assert reader.place_in(database) is None
