"""Every scenario with every peer, taking turns."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from dataclasses import replace

from benchmarks.fanout.bench import running
from benchmarks.fanout.machine import machine
from benchmarks.fanout.peers import PEERS, absent
from benchmarks.fanout.results import Results
from benchmarks.fanout.scenarios import SCENARIOS, Scenario, Size
from benchmarks.fanout.tools import AbsentError, generator

__all__ = ["FULL", "QUICK", "QUICK_SCENARIOS", "files", "resized", "run"]

FULL = Size()
QUICK = Size(
    subscribers=(1000,), deliveries=30_000, seconds=1.0, paced_seconds=2.0, idle=500, beats=1, resuming=500, missed=10,
    readers=1000, slow=20, slow_events=60, slow_seconds=3.0,
)  # fmt: skip
QUICK_SCENARIOS = ["fan-out", "resume"]


def resized(size: Size, subscribers: Sequence[int] | None, seconds: float | None) -> Size:
    """Give other numbers of subscribers (the last of them where a scenario has only one), and shorter phases."""
    if seconds:
        size = replace(size, seconds=seconds, paced_seconds=seconds, slow_seconds=seconds)
    if not subscribers:
        return size
    last = subscribers[-1]
    few = min(size.slow, last // 5)
    return replace(
        size, subscribers=tuple(subscribers), detailed=last, idle=last, resuming=last, readers=last, slow=few
    )


def files(size: Size) -> int:
    """Give the number of files that a server or the generator has open at the most."""
    return max(*size.subscribers, size.idle, size.resuming, size.readers) + 200


def run(peers: Sequence[str], scenarios: Sequence[str], reps: int, size: Size, say: Callable[[str], None]) -> Results:
    """Measure those peers that can run here; who cannot is in the results with the reason."""
    results = Results()
    results.absent = {peer: reason for peer in peers if (reason := absent(peer))}
    try:
        generator()
    except AbsentError as reason:
        results.absent = dict.fromkeys(peers, str(reason))
    present = [peer for peer in peers if peer not in results.absent]
    results.machine = machine(present)
    for name in scenarios:
        for count in SCENARIOS[name].sizes(size):
            # Interleaved: whatever else the machine does meanwhile falls on all peers alike.
            for repetition in range(reps):
                for peer in present:
                    say(f"{name}, {count} subscribers, {repetition + 1}/{reps}: {peer}")
                    _measure(results, SCENARIOS[name], peer, count, size)
    return results


def _measure(results: Results, scenario: Scenario, peer: str, count: int, size: Size) -> None:
    if not scenario.applies(PEERS[peer]):
        return
    with running(peer, scenario.heartbeat) as bench:
        try:
            figures = scenario.measure(bench, count, size)
        except RuntimeError as error:
            print(f"{peer}: {error}", file=sys.stderr)
            figures, bench.flaws = {}, [*bench.flaws, str(error)]
    results.add(peer, count, figures, bench.flaws)
