"""The demo as a process of its own, found by what it says."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

__all__ = ["DEMO", "Demo", "quick_demo", "running_demo"]

DEMO = (sys.executable, "-m", "unbroken", "demo")
ADDRESS = re.compile(r"http://(127\.0\.0\.1):(\d+)/")
END_TIMEOUT = 10.0


class Demo:
    """A running demo. `said` is what it has printed, complete once it has ended."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process
        self.said = ""
        self.port = self._wait_for_port()
        self.url = f"http://127.0.0.1:{self.port}/"

    def _wait_for_port(self) -> int:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.said += line
            if found := ADDRESS.search(line):
                return int(found[2])
        raise AssertionError(f"the demo ended without saying where it is:\n{self.said}")

    def stop(self, signal_number: int = signal.SIGTERM) -> int:
        """Signal it, wait for its end, and return its exit code."""
        self.process.send_signal(signal_number)
        self.said += self.process.communicate(timeout=END_TIMEOUT)[0]
        return self.process.returncode


@contextmanager
def running_demo(*command: str) -> Iterator[Demo]:
    """Run `command`, by default the one that users type, on any free port."""
    process = subprocess.Popen(
        command or (*DEMO, "--port", "0"),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
    )
    try:
        yield Demo(process)
    finally:
        if process.poll() is None:
            process.kill()
        process.communicate()


def quick_demo(max_age: float) -> tuple[str, ...]:
    """Return a command for a demo whose streams do not live as long as usual."""
    code = (
        "from unbroken.cli.demo.listening import listen\n"
        "from unbroken.cli.demo.serving import serve\n"
        f"serve(listen('127.0.0.1', 0), max_age={max_age})"
    )
    return (sys.executable, "-c", code)
