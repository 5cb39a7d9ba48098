"""A fresh server with the load generator at it."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field

from benchmarks.fanout.load import Load, Phase
from benchmarks.fanout.peers import PEERS
from benchmarks.server import Process

__all__ = ["WINDOW", "Bench", "running"]

WINDOW = 64
"""Connections on their way at once: more than a server answers in a turn, fewer than its backlog."""

START_TIMEOUT = 20
"""Seconds."""


@dataclass(slots=True)
class Bench:
    """One peer's server, and what went wrong with the load on it."""

    server: Process
    load: Load
    flaws: list[str] = field(default_factory=list)

    def do(self, command: str) -> Phase:
        phase = self.load.do(command)
        if phase.flaw:
            self.flaws.append(f"{command}: {phase.flaw}")
        return phase

    def cost(self, command: str) -> tuple[float, Phase]:
        """Do it, and give the microseconds of CPU that the server spent meanwhile."""
        before = self.server.cpu()
        phase = self.do(command)
        return (self.server.cpu() - before) * 1e6, phase

    def open(self, count: int) -> None:
        self.do(f"open {count} {WINDOW} /events")
        self.do("warm")

    def close(self) -> Phase:
        """Reset all streams at once, and wait until the server has freed them."""
        self.do("reset")
        return self.do("gone 60")

    def rehearse(self) -> None:
        """Let a few streams come and go: what a library allocates once is not the price of a stream."""
        self.open(5)
        self.do("publish 20 1 1")
        self.close()


@contextlib.contextmanager
def running(peer: str, heartbeat: int) -> Iterator[Bench]:
    """Start a fresh server of that peer, with that many seconds between its heartbeats, and the generator."""
    command = [sys.executable, "-m", "benchmarks.fanout.apps", PEERS[peer].app, str(heartbeat)]
    with Process(peer, command) as server, Load(server.port) as load:
        bench = Bench(server, load)
        # The socket takes connections from the start; the first answer tells that somebody serves them.
        bench.do(f"gone {START_TIMEOUT}")
        bench.do(f"set apart {int(PEERS[peer].apart)}")
        yield bench
