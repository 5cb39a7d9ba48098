"""One peer in a process of its own: `python -m benchmarks.server NAME`, and the parent's handle of it."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

__all__ = ["ROOT", "SERVER_CORE", "Process", "Server", "pin"]

ROOT = Path(__file__).resolve().parent.parent
SERVER_CORE = 0
LIFETIME = 600
"""Seconds after which a server ends by itself, should its parent have died."""

REST_TIMEOUT = 2.0
REST_INTERVAL = 0.02


def pin(core: int) -> None:
    """Keep this process on one core, where the machine has that core and the system lets us."""
    # Asked, not looked up: the affinity seen here is inherited, and a server's parent is pinned to the other core.
    with contextlib.suppress(AttributeError, OSError):
        os.sched_setaffinity(0, {core})


class Process:
    """A fresh server, which prints its port; its CPU time and memory, and its children's, are read from outside."""

    def __init__(self, name: str, command: Sequence[str]) -> None:
        # A group of its own, so that its children end with it.
        self._process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True, process_group=0)
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            self._process.communicate()
            raise RuntimeError(f"the server of {name!r} did not start; its own words are above")
        self.port = int(line)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        os.killpg(self._process.pid, signal.SIGKILL)
        self._process.communicate()

    def cpu(self, timeout: float = REST_TIMEOUT) -> float:
        """Give the seconds of CPU, user and kernel, that it had used when it came to rest, or at the timeout."""
        # A running process is accounted for at its next switch or tick only, and the client may see the end of a
        # stream before that: two equal readings say that the server sleeps.
        deadline = time.monotonic() + timeout
        last, now = -1.0, self._clock()
        while now != last and time.monotonic() < deadline:
            time.sleep(REST_INTERVAL)
            last, now = now, self._clock()
        return now

    def _clock(self) -> float:
        # The clock of another process, as clock_getcpuclockid(3) makes it. /proc/PID/stat has the same sum in
        # ticks of 10 ms, which is a tenth of what the fast peers use in a whole run.
        return sum(time.clock_gettime((~pid << 3) | 2) for pid in self._pids())

    def resident(self) -> float:
        """Give the resident memory in KiB."""
        return sum(map(_resident, self._pids()))

    def _pids(self) -> list[int]:
        pid = self._process.pid
        return [pid, *map(int, Path(f"/proc/{pid}/task/{pid}/children").read_text().split())]


def _resident(pid: int) -> float:
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    return float(next(line.split()[1] for line in lines if line.startswith("Rss:")))


class Server(Process):
    """A peer of `benchmarks.peers` under uvicorn."""

    def __init__(self, peer: str) -> None:
        super().__init__(peer, [sys.executable, "-m", "benchmarks.server", peer])


def main(peer: str) -> None:
    """Serve one peer on a free port, and print the port once it takes connections."""
    pin(SERVER_CORE)
    if hasattr(signal, "alarm"):
        signal.alarm(LIFETIME)
    import uvicorn

    from benchmarks.peers import application

    config = uvicorn.Config(
        application(peer), http="httptools", loop="uvloop", access_log=False, log_level="warning", lifespan="off"
    )
    with socket.create_server(("127.0.0.1", 0), backlog=2048) as listener:
        print(listener.getsockname()[1], flush=True)
        uvicorn.Server(config).run(sockets=[listener])


if __name__ == "__main__":
    main(sys.argv[1])
