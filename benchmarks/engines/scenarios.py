"""What is measured of a layer on a running engine, and the figures that come out of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any
from uuid import uuid4

from benchmarks.engines.worker import Worker

__all__ = ["PHASES", "SCENARIOS", "Measured", "Size"]

PHASES = {
    "alone": {"tasks": 1, "topics": 1},
    "together": {"tasks": 64, "topics": 1},
    "spread": {"tasks": 64, "topics": 100},
}
"""How is published as fast as it can be."""

LANES = 4
"""Publishers to many subscribers."""


@dataclass(frozen=True, slots=True)
class Size:
    """How much is done in one measurement."""

    seconds: float = 1.5
    rate: float = 50.0
    paced_seconds: float = 5.0
    subscribers: int = 500
    steady_rate: float = 200.0
    steady_seconds: float = 3.0
    events: int = 2000


@dataclass(frozen=True, slots=True)
class Measured:
    """What came out, and what was wrong with it."""

    figures: dict[str, float]
    flaws: list[str] = field(default_factory=list)


Scenario = Callable[[str, str, str, Size], Measured]


def _publish(engine: str, layer: str, url: str, size: Size) -> Measured:
    figures, flaws = dict[str, float](), list[str]()
    phases = list(PHASES.values())
    with Worker("rates", **_who(engine, layer, url), phases=phases, seconds=size.seconds) as worker:
        for name in PHASES:
            said = worker.hear()
            figures[f"publish {name}"] = said["rate"]
            figures[f"publish cpu {name}"] = said["cpu"]
            figures["publish connections"] = said["connections"]
            if said["failed"]:
                flaws.append(f"publishing {name}, some failed: {said['error']}")
    return Measured(figures, flaws)


def _latency(engine: str, layer: str, url: str, size: Size) -> Measured:
    events = int(size.rate * size.paced_seconds)
    said = _deliver_to(engine, layer, url, subscribers=1, lanes=1, events=events, rate=size.rate)
    return Measured({name: said[name] for name in ("p50", "p99") if name in said}, _flaws("latency", said))


def _steady(engine: str, layer: str, url: str, size: Size) -> Measured:
    events = int(size.steady_rate * size.steady_seconds)
    said = _deliver_to(
        engine, layer, url, subscribers=size.subscribers, lanes=LANES, events=events // LANES,
        rate=size.steady_rate / LANES,
    )  # fmt: skip
    return Measured({f"steady {name}": said[name] for name in ("deliveries", "cpu")}, _flaws("steady", said))


def _flood(engine: str, layer: str, url: str, size: Size) -> Measured:
    said = _deliver_to(
        engine, layer, url, subscribers=size.subscribers, lanes=LANES, events=size.events // LANES, rate=None
    )
    names = ("deliveries", "cpu", "busy", "connections", "expected", "lost", "twice", "jumps")
    return Measured({f"flood {name}": said[name] for name in names}, _flaws("flood", said))


def _deliver_to(
    engine: str, layer: str, url: str, *, subscribers: int, lanes: int, events: int, rate: float | None
) -> dict[str, Any]:
    """Publish in one process, read in another, and give what the reader counted."""
    who = _who(engine, layer, url) | {"lanes": lanes, "events": events}
    with Worker("reader", **who, subscribers=subscribers) as reader, Worker("publisher", **who, rate=rate) as publisher:
        connections = reader.hear()["connections"]
        reader.say(begin=True)
        reader.hear()
        publisher.say(begin=True)
        failed = publisher.hear()["failed"]
        reader.say(published=lanes * events - failed)
        return reader.hear() | {"connections": connections, "failed": failed}


def _who(engine: str, layer: str, url: str) -> dict[str, Any]:
    # A topic that nothing was ever published to.
    return {"engine": engine, "layer": layer, "url": url, "topic": f"bench{uuid4().hex[:12]}"}


def _flaws(scenario: str, said: dict[str, Any]) -> list[str]:
    counts = {
        "lost": said["lost"],
        "twice": said["twice"],
        "out of order": said["jumps"],
        "not published": said["failed"],
    }
    found = [f"{count} {what}" for what, count in counts.items() if count]
    return [f"{scenario}: {', '.join(found)} of {said['expected']}"] if found else []


SCENARIOS: dict[str, Scenario] = {"publish": _publish, "latency": _latency, "steady": _steady, "flood": _flood}
