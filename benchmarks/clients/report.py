"""The three tables of the clients, in Markdown."""

from __future__ import annotations

import platform
import statistics
from collections.abc import Iterable, Sequence
from importlib.metadata import PackageNotFoundError, version

from tests.conformance.serving import CUTS

from benchmarks.clients.conformance import Conformance
from benchmarks.clients.decoders import FLOOR
from benchmarks.clients.decoding import Decoding
from benchmarks.clients.readers import REFERENCE
from benchmarks.clients.run import PARTS, EndToEnd, Results
from benchmarks.clients.streams import STREAMS
from benchmarks.workloads import Figure

__all__ = ["report"]

_SHOWN = 6
_LIBRARIES = (
    *("httpx2", "httpx", "httpx-sse", "launchdarkly-eventsource", "sseclient-py", "assel", "requests-sse"),
    *("aiohttp-sse-client", "aiosseclient", "ry"),
)


def report(results: Results) -> str:
    """Write all that was found."""
    return "\n".join(
        [
            _versions(),
            "",
            *_conformance(results.conformance),
            *_decoding(results.decoding, results.streams),
            *_end_to_end(results.end_to_end),
        ]
    )


def _versions() -> str:
    found = [f"{platform.python_implementation()} {platform.python_version()}"]
    for library in _LIBRARIES:
        try:
            found.append(f"{library} {version(library)}")
        except PackageNotFoundError:
            found.append(f"{library} missing")
    return ", ".join(found)


def _conformance(results: dict[str, Conformance]) -> Iterable[str]:
    yield from ("### clients: the standard's rules over HTTP", "")
    yield from ("| client | whole | single bytes | what fails |", "|---|---:|---:|---|")
    for name, result in results.items():
        passed = [f"{result.vectors - len(result.failed[cut])}/{result.vectors}" for cut in CUTS]
        failed = dict.fromkeys(vector for cut in CUTS for vector in result.failed[cut])
        yield f"| {name} | {' | '.join(passed)} | {_listed(list(failed))} |"
    yield ""


def _listed(names: Sequence[str]) -> str:
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return ", ".join(names[:_SHOWN]) + more if names else "-"


def _decoding(results: Decoding, events: int) -> Iterable[str]:
    decoders = [name for name in next(iter(results.values())) if name != REFERENCE]
    yield from ("### clients: the decoder alone", "")
    yield f"| stream | {REFERENCE}: µs per event [min-max] | MB/s | {' | '.join(f'{name} ÷' for name in decoders)} |"
    yield f"|---|{'---:|' * (len(decoders) + 2)}"
    for stream, figures in results.items():
        ours = _median(figures[REFERENCE])
        speed = STREAMS[stream](events).bytes / figures[REFERENCE][0].expected / ours
        ratios = [f"{_median(figures[name]) / ours:.2f}{_lost(figures[name])}" for name in decoders]
        yield f"| {stream} | {_range(figures[REFERENCE], 2)} | {speed:,.0f} | {' | '.join(ratios)} |"
    yield from (
        "",
        f"{FLOOR}: the same in C, with no bounds, making the same objects: the floor under all of them.",
        "",
    )


def _end_to_end(results: EndToEnd) -> Iterable[str]:
    yield from ("### clients: a stream over HTTP, µs of the client's CPU per event", "")
    yield from (
        "| client | 100 events a chunk [min-max] | ÷ | one a chunk [min-max] | ÷ |",
        "|---|---:|---:|---:|---:|",
    )
    for name in results[PARTS[0]]:
        yield f"| {name} | {' | '.join(_cell(results[part], name) for part in PARTS)} |"
    yield ""


def _cell(figures: dict[str, list[Figure]], name: str) -> str:
    ours = _median(figures[REFERENCE]) if REFERENCE in figures else None
    ratio = f"{_median(figures[name]) / ours:.2f}" if ours else "-"
    return f"{_range(figures[name], 1)}{_lost(figures[name])} | {ratio}"


def _median(figures: Sequence[Figure]) -> float:
    return statistics.median(figure.value for figure in figures)


def _range(figures: Sequence[Figure], digits: int) -> str:
    values = [figure.value for figure in figures]
    return f"{_median(figures):.{digits}f} [{min(values):.{digits}f}-{max(values):.{digits}f}]"


def _lost(figures: Sequence[Figure]) -> str:
    return " **(events lost)**" if any(figure.received != figure.expected for figure in figures) else ""
