"""Tables in Markdown: the median and the range per peer, and how many times ours goes into it."""

from __future__ import annotations

import platform
import statistics
from collections.abc import Sequence
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version

from benchmarks.peers import NO_MIDDLEWARE, REFERENCE
from benchmarks.workloads import Figure, Workload

__all__ = ["machine", "table"]


def table(workload: Workload, figures: dict[str, list[Figure]]) -> str:
    """Write one workload's table; the last column is the peer's median divided by the reference's."""
    medians = {peer: statistics.median(_values(results)) for peer, results in figures.items()}
    reference = NO_MIDDLEWARE if NO_MIDDLEWARE in figures else REFERENCE
    ours = medians.get(reference)
    rows = [_row(peer, results, medians[peer], ours) for peer, results in figures.items()]
    head = [f"### {workload.title}", "", f"| peer | {workload.unit} [min-max] | ÷ {reference} |", "|---|---:|---:|"]
    return "\n".join([*head, *rows, ""])


def _values(results: Sequence[Figure]) -> list[float]:
    return [figure.value for figure in results]


def _row(peer: str, results: Sequence[Figure], median: float, ours: float | None) -> str:
    values = _values(results)
    ratio = f"{median / ours:.2f}" if ours else "-"
    lost = " **(events lost)**" if any(figure.received != figure.expected for figure in results) else ""
    return f"| {peer}{lost} | {median:.2f} [{min(values):.2f}-{max(values):.2f}] | {ratio} |"


def machine(cores: int) -> str:
    """Describe the run in one line: the date, the machine's shape and the versions that matter."""
    parts = [
        f"{datetime.now(UTC):%Y-%m-%d}",
        f"{cores} cores",
        f"{platform.system()} {platform.release()}",
        f"{platform.python_implementation()} {platform.python_version()}",
        *map(_version, ["uvicorn", "httptools", "uvloop", "starlette", "fastapi", "sse-starlette"]),
    ]
    return ", ".join(parts)


def _version(distribution: str) -> str:
    try:
        return f"{distribution} {version(distribution)}"
    except PackageNotFoundError:
        return f"{distribution} missing"
