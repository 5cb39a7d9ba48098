"""Every scenario with every layer on every engine, the layers taking turns."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

from benchmarks.engines.layers import LAYERS
from benchmarks.engines.places import PLACES
from benchmarks.engines.report import machine
from benchmarks.engines.results import Results
from benchmarks.engines.scenarios import SCENARIOS, Measured, Size

__all__ = ["FULL", "QUICK", "Plan", "resized", "run"]

FULL = Size()
QUICK = Size(seconds=0.3, paced_seconds=0.6, subscribers=100, steady_seconds=0.5, events=400)


def resized(size: Size, subscribers: Sequence[int] | None, seconds: float | None, events: int | None) -> Size:
    """Give other sizes, where they were asked for."""
    if seconds:
        size = replace(size, seconds=seconds, paced_seconds=seconds, steady_seconds=seconds)
    if subscribers:
        size = replace(size, subscribers=subscribers[-1])
    return replace(size, events=events) if events else size


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """Who is measured, where, and how."""

    engines: Sequence[str]
    layers: Sequence[str]
    scenarios: Sequence[str]
    reps: int
    size: Size


def run(plan: Plan, say: Callable[[str], None]) -> Results:
    """Measure those that can run here; who cannot is in the results with the reason."""
    results = Results(machine=machine())
    for engine in plan.engines:
        try:
            with PLACES[engine]() as url:
                for scenario, layer in _turns(plan, engine, say):
                    measured = _measure(scenario, engine, layer, url, plan.size)
                    results.add(engine, layer, measured.figures, measured.flaws)
        except ImportError as reason:
            results.absent[engine] = str(reason)
    return results


def _turns(plan: Plan, engine: str, say: Callable[[str], None]) -> Iterator[tuple[str, str]]:
    """Give each scenario with each layer that can do it, as often as it is repeated."""
    layers = {layer: kind for layer, kind in LAYERS[engine].items() if layer in plan.layers}
    for scenario in plan.scenarios:
        # Interleaved: whatever else the machine does meanwhile falls on all layers alike.
        for repetition in range(plan.reps):
            for layer, kind in layers.items():
                if kind.subscribes or scenario == "publish":
                    say(f"{engine}, {scenario}, {repetition + 1}/{plan.reps}: {layer}")
                    yield scenario, layer


def _measure(scenario: str, engine: str, layer: str, url: str, size: Size) -> Measured:
    try:
        return SCENARIOS[scenario](engine, layer, url, size)
    except RuntimeError as error:
        print(f"{engine}, {layer}: {error}", file=sys.stderr)
        return Measured({}, [f"{scenario}: {error}"])
