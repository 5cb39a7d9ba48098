"""What the tests of the file share: an opened log, and processes that append."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.logs.running import opened

__all__ = ["appender", "opened"]

APPENDER = Path(__file__).with_name("appender.py")


@contextmanager
def appender(url: str, count: int, size: int = 10, *limit: str) -> Iterator[subprocess.Popen[str]]:
    """Run a process that appends batches of two; it is killed in the end."""
    arguments = [sys.executable, str(APPENDER), url, str(count), str(size), *limit]
    process = subprocess.Popen(arguments, stdout=subprocess.PIPE, text=True)
    try:
        yield process
    finally:
        process.kill()
        process.communicate()
