"""Every way on every engine that it can have, taking turns."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from importlib.util import find_spec

from benchmarks.engines.places import PLACES as ENGINES
from benchmarks.engines.places import Place
from benchmarks.engines.results import Results
from benchmarks.runs.measuring import Measured, measure
from benchmarks.runs.report import machine
from benchmarks.runs.ways import WAYS

__all__ = ["FULL", "PLACES", "QUICK", "Plan", "Size", "resized", "run"]

PLACES: dict[str, Place] = {
    "none": lambda: nullcontext(""),
    "memory": lambda: nullcontext("memory://"),
    **{name: ENGINES[name] for name in ("sqlite", "valkey", "postgres", "nats")},
}
"""Where tokens are kept, by name; "none" is for the ways that keep none."""


@dataclass(frozen=True, slots=True)
class Size:
    """How many streams at once, and at what pace."""

    streams: tuple[int, ...] = (1, 100)
    rate: float = 30.0
    seconds: float = 4.0


FULL = Size()
QUICK = Size(streams=(1, 20), seconds=1.0)


def resized(size: Size, seconds: float | None) -> Size:
    return replace(size, seconds=seconds) if seconds else size


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What is measured, where, and how."""

    engines: Sequence[str]
    ways: Sequence[str]
    reps: int
    size: Size


def run(plan: Plan, say: Callable[[str], None]) -> Results:
    """Measure those that can run here; who cannot is in the results with the reason."""
    results = Results(machine=machine())
    results.absent |= {way: "not installed" for way in plan.ways if not _is_here(way)}
    for engine in plan.engines:
        ways = [way for way in plan.ways if engine in WAYS[way].engines and way not in results.absent]
        if not ways:
            continue
        try:
            with PLACES[engine]() as url:
                for way, streams in _turns(plan, ways):
                    say(f"runs, {engine}, {streams} at once: {way}")
                    measured = _measure(way, url, streams, plan.size)
                    results.add(engine, way, measured.figures, measured.flaws)
        except ImportError as reason:
            results.absent[engine] = str(reason)
    return results


def _is_here(way: str) -> bool:
    return all(map(find_spec, WAYS[way].needs))


def _turns(plan: Plan, ways: Sequence[str]) -> Iterator[tuple[str, int]]:
    for streams in plan.size.streams:
        # Interleaved: whatever else the machine does meanwhile falls on all ways alike.
        for _ in range(plan.reps):
            for way in ways:
                yield way, streams


def _measure(way: str, url: str, streams: int, size: Size) -> Measured:
    try:
        return measure(way, url, streams, size.rate, size.seconds)
    except (RuntimeError, OSError) as error:  # OSError: the server ended, and its own words are above
        print(f"{way}: {error}", file=sys.stderr)
        return Measured({}, [f"{streams} at once: {error}"])
