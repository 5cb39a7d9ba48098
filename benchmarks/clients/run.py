"""The whole part: `python -m benchmarks --only clients`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from benchmarks.clients.conformance import Conformance, conformance
from benchmarks.clients.decoding import Decoding, decoding
from benchmarks.clients.readers import READERS
from benchmarks.clients.reading import end_to_end
from benchmarks.clients.source import Source
from benchmarks.workloads import Figure

__all__ = ["FULL", "PARTS", "QUICK", "EndToEnd", "Results", "Size", "resized", "run"]

PARTS = ("bulk", "tokens")

EndToEnd = dict[str, dict[str, list[Figure]]]
"""Part, client, repetitions: µs of CPU per event."""


@dataclass(frozen=True, slots=True)
class Size:
    """How much is done: events of a stream for the decoders and the clients, and every how manyth vector."""

    decoded: int
    read: int
    step: int


@dataclass(frozen=True, slots=True)
class Results:
    conformance: dict[str, Conformance]
    decoding: Decoding
    end_to_end: EndToEnd
    streams: int


FULL = Size(20_000, 100_000, 1)
QUICK = Size(1_000, 5_000, 16)


def resized(size: Size, events: int | None) -> Size:
    return size if events is None else replace(size, decoded=events, read=events)


def run(names: Sequence[str], reps: int, size: Size, say: Callable[[str], None]) -> Results:
    """Do all three: what is read rightly, what the decoders cost, and what the clients cost."""
    readers = {name: READERS[name] for name in names}
    return Results(
        conformance(readers, size.step, say),
        decoding(size.decoded, reps, say),
        _end_to_end(names, reps, size.read, say),
        size.decoded,
    )


def _end_to_end(names: Sequence[str], reps: int, events: int, say: Callable[[str], None]) -> EndToEnd:
    results: EndToEnd = {part: {name: [] for name in names} for part in PARTS}
    with Source() as source:
        for part in PARTS:
            for repetition in range(reps):
                for name in names:
                    say(f"clients {part} {repetition + 1}/{reps} {name}")
                    figure = end_to_end(name, f"http://127.0.0.1:{source.port}/{part}", events)
                    results[part][name].append(figure)
    return results
