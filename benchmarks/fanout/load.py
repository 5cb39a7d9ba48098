"""The load generator's handle: a command goes in, what was counted comes out."""

from __future__ import annotations

import json
import subprocess
from dataclasses import dataclass
from types import TracebackType
from typing import Self

from benchmarks.client import CLIENT_CORE
from benchmarks.fanout.tools import generator

__all__ = ["Load", "Phase"]


@dataclass(frozen=True, slots=True)
class Phase:
    """What happened during one command. Latencies are in milliseconds; shares are of the command's time."""

    complete: bool
    streams: int
    seconds: float
    posts: int
    expected: int
    received: int
    reads: int
    lost: int
    refused: int
    disorder: int
    unstamped: int
    p50: float
    p99: float
    longest: float
    # How the generator knows that it is not the bottleneck: the share of time it had work to do, the share of polls
    # that found nothing, and how many sockets were ready at once, on average and at the most.
    busy: float
    empty: float
    ready: float
    largest: int

    @property
    def flaw(self) -> str | None:
        """Say what makes a figure of this phase worthless, if anything does."""
        counts = {"lost": self.lost, "refused": self.refused, "twice or late": self.disorder, "cut": self.unstamped}
        found = [f"{count} {what}" for what, count in counts.items() if count]
        return ", ".join(found) or (None if self.complete else "not finished")


class Load:
    """One process of the generator, on its own core, against one server."""

    def __init__(self, port: int) -> None:
        self._process = subprocess.Popen(
            [generator(), str(port), str(CLIENT_CORE)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self._process.kill()
        self._process.communicate()

    def do(self, command: str) -> Phase:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        print(command, file=self._process.stdin, flush=True)
        answer = self._process.stdout.readline()
        if not answer:
            raise RuntimeError(f"the load generator ended at {command!r}; its own words are above")
        return Phase(**json.loads(answer))
