"""What an event costs a client, in a process of its own: `python -m benchmarks.clients.reading NAME URL EVENTS`."""

from __future__ import annotations

import json
import subprocess
import sys
import time

from benchmarks.client import CLIENT_CORE
from benchmarks.clients.readers import READERS
from benchmarks.server import ROOT, pin
from benchmarks.workloads import Figure

__all__ = ["end_to_end"]

_TIMEOUT = 120.0


def end_to_end(name: str, url: str, events: int) -> Figure:
    """Give the µs of the client's CPU for each event of a stream that comes as fast as it is read."""
    command = [sys.executable, "-m", "benchmarks.clients.reading", name, url, str(events)]
    ran = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True, timeout=_TIMEOUT)
    seconds, received = json.loads(ran.stdout)
    return Figure(seconds * 1e6 / events, events, received)


def main(name: str, url: str, events: int) -> None:
    """Read the stream, after a shorter one that loads what is loaded once, and print seconds of CPU and events."""
    pin(CLIENT_CORE)
    reader = READERS[name]
    reader.read(f"{url}/{max(1, events // 20)}", max(1, events // 20))
    started = time.process_time()
    received = len(reader.read(f"{url}/{events}", events))
    print(json.dumps([time.process_time() - started, received]))


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]))
