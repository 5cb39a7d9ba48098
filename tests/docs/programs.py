"""An example that is a program: run as its users run it, watched, and killed."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

__all__ = ["running", "until"]


@contextlib.contextmanager
def running(script: Path, environment: Mapping[str, str], output: Path) -> Iterator[subprocess.Popen[bytes]]:
    """Run a program, what it says appended to a file, and kill it."""
    with output.open("ab") as out:
        command = [sys.executable, str(script)]
        process = subprocess.Popen(command, env={**os.environ, **environment}, stdout=out, stderr=out)
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def until(condition: Callable[[], bool], process: subprocess.Popen[bytes], output: Path, deadline: float) -> None:
    """Wait for a condition while the program runs; for so many seconds."""
    end = time.monotonic() + deadline
    while not condition():
        assert process.poll() is None, output.read_text()
        assert time.monotonic() < end, output.read_text()
        time.sleep(0.005)
