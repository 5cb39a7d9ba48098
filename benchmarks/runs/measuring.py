"""One measurement: so many streams of one way, with a reader each."""

from __future__ import annotations

import statistics
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from secrets import token_hex
from urllib.request import urlopen

from benchmarks.runs.readers import Reader, read_until
from benchmarks.runs.server import Server
from benchmarks.runs.tokens import Pace
from benchmarks.runs.ways import WAYS, Way

__all__ = ["Measured", "measure"]

BEHIND = 1.1
"""How many times the time that was meant they may take, before it is said that it was too much."""

IDLE = 0.5
"""Seconds in which nothing is sent."""

REST = 0.1
"""Seconds for a server to come to rest; one that looks into a file again and again never does. Less than the lead."""


@dataclass(frozen=True, slots=True)
class Measured:
    """What it cost, and what is wrong with that."""

    figures: dict[str, float]
    flaws: list[str]


def measure(way: str, url: str, streams: int, rate: float, seconds: float) -> Measured:
    """Let a fresh server send to so many readers at once.

    The figures are ms of its CPU a second while they wait, µs of it per token, and ms to the readers' sockets.
    """
    paces = [Pace(max(1, round(rate * seconds)), rate, number / streams) for number in range(streams)]
    with Server(way, url) as server, _opened(server.port, WAYS[way], paces) as readers:
        idle = _idle(server)
        _ask(server.port, "begin")
        before = server.cpu(REST)
        read_until(readers, lambda reader: len(reader.account.numbers) > paces[0].tokens)
        used = server.cpu(REST) - before
        _ask(server.port, "end")
        read_until(readers, lambda reader: False)
    figures = {f"idle {streams}": idle, **_figures(readers, used, streams)}
    return Measured(figures, [*_flaws(readers, WAYS[way], paces[0].tokens), *_lateness(readers, paces)])


@contextmanager
def _opened(port: int, way: Way, paces: Sequence[Pace]) -> Iterator[list[Reader]]:
    """Open a stream for each pace, up to where it waits for the beginning."""
    names = {token_hex(8): pace for pace in paces}
    with ExitStack() as held:
        if way.comes_back:
            _open_and_leave(port, names)
        readers = [held.enter_context(closing(Reader(port, name, pace))) for name, pace in names.items()]
        read_until(readers, lambda reader: bool(reader.account.numbers))
        yield readers


def _open_and_leave(port: int, names: dict[str, Pace]) -> None:
    with ExitStack() as held:
        first = [held.enter_context(closing(Reader(port, name, pace))) for name, pace in names.items()]
        read_until(first, lambda reader: bool(reader.account.numbers))


def _idle(server: Server) -> float:
    before, begun = server.cpu(REST), time.monotonic()
    time.sleep(IDLE)
    return (server.cpu(REST) - before) * 1000 / (time.monotonic() - begun)


def _ask(port: int, path: str) -> None:
    urlopen(f"http://127.0.0.1:{port}/{path}", timeout=10).close()


def _figures(readers: Sequence[Reader], used: float, streams: int) -> dict[str, float]:
    # Without the first of each, which was sent before the beginning.
    latencies = sorted(latency for reader in readers for latency in reader.account.latencies[1:])
    if len(latencies) < 2:
        return {}
    hundredths = statistics.quantiles(latencies, n=100, method="inclusive")
    return {
        f"cpu {streams}": used * 1e6 / len(latencies),
        f"p50 {streams}": hundredths[49] / 1000,
        f"p99 {streams}": hundredths[98] / 1000,
        f"tokens {streams}": float(len(latencies)),
    }


def _flaws(readers: Sequence[Reader], way: Way, tokens: int) -> Iterator[str]:
    wrong = sum(reader.account.numbers != list(range(tokens + 1)) for reader in readers)
    if wrong:
        yield f"tokens were lost, doubled or out of order in {wrong} of {len(readers)} streams"
    cut = sum(not reader.ended_well(way.end) for reader in readers)
    if cut:
        yield f"{cut} of {len(readers)} streams were cut short"


def _lateness(readers: Sequence[Reader], paces: Sequence[Pace]) -> Iterator[str]:
    arrivals = [arrival for reader in readers for arrival in reader.account.arrivals[1:]]
    meant = paces[0].tokens / paces[0].rate
    taken = (max(arrivals) - min(arrivals)) / 1e6 if arrivals else 0.0
    if taken > meant * BEHIND + 0.1:
        asked = len(readers) * paces[0].rate
        yield f"with {len(readers)} it fell behind: {len(arrivals) / taken:,.0f} tokens a second of {asked:,.0f}"
