"""What an event costs in the decoder alone, for each decoder and kind of stream, in one process."""

from __future__ import annotations

import time
from collections.abc import Callable

from benchmarks.clients.decoders import DECODERS, FLOOR, Count
from benchmarks.clients.floor import AbsentError
from benchmarks.clients.streams import STREAMS, Stream
from benchmarks.workloads import Figure

__all__ = ["Decoding", "decoding"]

Decoding = dict[str, dict[str, list[Figure]]]
"""Stream, decoder, repetitions: µs of CPU per event."""


def decoding(events: int, reps: int, say: Callable[[str], None]) -> Decoding:
    """Give every decoder every stream; they take turns."""
    counts = _available(say)
    results: Decoding = {}
    for name, stream_of in STREAMS.items():
        stream = stream_of(events)
        results[name] = {decoder: [] for decoder in counts}
        for repetition in range(reps):
            for decoder, count in counts.items():
                say(f"decoding {name} {repetition + 1}/{reps} {decoder}")
                results[name][decoder].append(_measure(count, stream))
    return results


def _available(say: Callable[[str], None]) -> dict[str, Count]:
    counts = {}
    for name, make in DECODERS.items():
        try:
            counts[name] = make()
        except (AbsentError, ImportError) as error:
            say(f"no {name}: {error}")
    assert any(name != FLOOR for name in counts)
    return counts


def _measure(count: Count, stream: Stream) -> Figure:
    started = time.process_time()
    received = count(stream.chunks)
    return Figure((time.process_time() - started) * 1e6 / stream.events, stream.events, received)
