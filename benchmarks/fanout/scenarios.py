"""What is done to a fresh server, and the figures that come out of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from benchmarks.fanout.bench import WINDOW, Bench
from benchmarks.fanout.load import Phase
from benchmarks.fanout.peers import Peer
from benchmarks.workloads import settled

__all__ = ["SCENARIOS", "Figures", "Scenario", "Size"]

Figures = dict[str, float]

NEVER = 3600
"""Seconds between heartbeats where none may fall into a measurement."""

BEAT = 3
RATE = 5
"""Events a second in the open loop."""

TOGETHER = 10
LARGE = 16_384
"""Bytes of an event to slow readers: with small ones the kernel's buffers hide them for minutes."""

SMALL_BUFFER = 32_768


@dataclass(frozen=True, slots=True)
class Size:
    """How much is done in one measurement. A phase ends with its deliveries or its seconds, whatever comes first."""

    subscribers: tuple[int, ...] = (100, 1000, 5000, 10_000)
    deliveries: int = 200_000
    seconds: float = 4.0
    # At this number the open loop and the batches are measured.
    detailed: int = 1000
    paced_seconds: float = 10.0
    idle: int = 5000
    beats: int = 2
    resuming: int = 5000
    missed: int = 20
    readers: int = 10_000
    slow: int = 100
    slow_events: int = 400
    slow_seconds: float = 15.0


@dataclass(frozen=True, slots=True)
class Scenario:
    """One kind of measurement, each in a server of its own."""

    measure: Callable[[Bench, int, Size], Figures]
    sizes: Callable[[Size], tuple[int, ...]]
    heartbeat: int = NEVER
    applies: Callable[[Peer], bool] = lambda _: True


def _fan_out(bench: Bench, count: int, size: Size) -> Figures:
    bench.rehearse()
    posts = {lines: _post_cost(bench, lines) for lines in ((1, TOGETHER) if count == size.detailed else (1,))}
    figures = _connects(bench, count)
    for lines, post in posts.items():
        figures |= _deliveries(bench, count, lines, post, size)
    if count == size.detailed:
        figures |= _paced(bench, size, posts[1])
    figures |= _storm(bench, count)
    # Last: what these leave behind in the allocator would be taken off the memory above.
    return figures | (_first(bench) if count == size.detailed else {})


def _post_cost(bench: Bench, lines: int) -> float:
    """Give the CPU of a POST while nobody listens."""
    used, phase = bench.cost(f"publish 300 {lines} 2")
    return used / max(1, phase.posts)


def _first(bench: Bench) -> Figures:
    """Open streams one after the other, each until the newest event has come."""
    # Litestar forgets the newest event with its last subscriber.
    bench.do("publish 1 1 1")
    phase = bench.do("open 200 1 /first event")
    bench.close()
    return {"first p50": phase.p50 * 1e3, "first p99": phase.p99 * 1e3}


def _connects(bench: Bench, count: int) -> Figures:
    before = settled(bench.server)
    used, phase = bench.cost(f"open {count} {WINDOW} /events")
    bench.do("warm")
    return {
        "memory": (settled(bench.server) - before) / count,
        "connects": count / phase.seconds,
        "connect cpu": used / count,
    }


def _deliveries(bench: Bench, count: int, lines: int, post: float, size: Size) -> Figures:
    rounds = max(5, size.deliveries // (count * lines))
    used, phase = bench.cost(f"publish {rounds} {lines} {size.seconds}")
    cpu = _net(used, phase, post)
    if lines > 1:
        return {"batch": cpu}
    return {"cpu": cpu, "p50": phase.p50, "p99": phase.p99, "busy": phase.busy, "queue": phase.ready}


def _net(used: float, phase: Phase, post: float) -> float:
    return (used - phase.posts * post) / max(1, phase.received)


def _paced(bench: Bench, size: Size, post: float) -> Figures:
    used, phase = bench.cost(f"pace {RATE} {size.paced_seconds}")
    return {"paced cpu": _net(used, phase, post), "paced p50": phase.p50, "paced p99": phase.p99}


def _storm(bench: Bench, count: int) -> Figures:
    before = bench.server.cpu()
    seconds = bench.do("reset").seconds + bench.do("gone 60").seconds
    return {"storm": seconds * 1e3, "storm cpu": (bench.server.cpu() - before) * 1e6 / count}


def _idle(bench: Bench, count: int, size: Size) -> Figures:
    bench.rehearse()
    bench.open(count)
    used, phase = bench.cost(f"watch {BEAT * size.beats + BEAT / 10}")
    return {"heartbeat": used / max(1, phase.reads)}


def _resume(bench: Bench, count: int, size: Size) -> Figures:
    """All are cut, some events are published, all come back with the position they had."""
    bench.rehearse()
    bench.do("set track 1")
    bench.open(count)
    bench.do("publish 5 1 30")
    bench.close()
    bench.do(f"publish {size.missed} 1 10")
    used, phase = bench.cost(f"open {count} {WINDOW} /events mark")
    if phase.received != count * size.missed:
        bench.flaws.append(f"resume: {phase.received} of {count * size.missed} missed events")
    return {"resume cpu": used / count, "resumes": count / phase.seconds}


def _slow(bench: Bench, count: int, size: Size) -> Figures:
    """Some stop reading while large events go out; the others' latency before and after."""
    bench.do(f"set payload {LARGE}")
    bench.do(f"set buffer {SMALL_BUFFER}")
    bench.do(f"open {size.slow} {WINDOW} /events")
    bench.do("set buffer 0")
    bench.open(count)
    before = bench.do(f"publish {size.slow_events} 1 {size.slow_seconds / 3}")
    resident = settled(bench.server)
    bench.do(f"deafen {size.slow}")
    after = bench.do(f"publish {size.slow_events} 1 {size.slow_seconds}")
    return {
        "slow p99 before": before.p99,
        "slow p99": after.p99,
        "slow memory": (bench.server.resident() - resident) / size.slow,
        "slow sent": after.posts * LARGE / 1024,
    }


SCENARIOS = {
    "fan-out": Scenario(_fan_out, lambda size: size.subscribers),
    "idle": Scenario(_idle, lambda size: (size.idle,), BEAT, lambda peer: peer.heartbeat),
    "resume": Scenario(_resume, lambda size: (size.resuming,), applies=lambda peer: peer.resumes),
    "slow": Scenario(_slow, lambda size: (size.readers,)),
}
