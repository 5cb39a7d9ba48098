"""Write what a run gave into the docs: `python -m benchmarks.fanout.page FIGURES.json docs`."""

from __future__ import annotations

import re
import sys
from pathlib import Path

from benchmarks.fanout.picture import picture
from benchmarks.fanout.report import Column, columns, table
from benchmarks.fanout.results import Results

__all__ = ["write"]

_PAGE, _PICTURE = "performance.md", "performance.svg"
_TYPICAL = 5000
_PLACE = re.compile(r"(<!-- figures: .*? -->\n).*(<!-- end of figures -->)", re.DOTALL)


def write(results: Results, docs: Path) -> None:
    """Put the table into its place on the page, and the picture beside the page."""
    page = docs / _PAGE
    found = _PLACE.search(page.read_text())
    if not found:
        raise SystemExit(f"{page} has no place for the figures")
    text = f"{found[1]}\n{results.machine}.\n\n{table(results, _columns(results))}\n\n{found[2]}"
    page.write_text(page.read_text().replace(found[0], text))
    (docs / _PICTURE).write_text(picture(results))


def _columns(results: Results) -> list[Column]:
    """Choose the one table: everything else is in the report of a run."""
    return [
        *columns(results, "cpu", "µs per delivery, {}", ratio=True),
        *columns(results, "batch", "µs, {}, ten at once", 2, range=False),
        *columns(results, "paced p99", "p99 ms, 5/s to {}", range=False),
        *_one(columns(results, "memory", "KiB each, {}", range=False)),
        *columns(results, "heartbeat", "µs per heartbeat", range=False),
        *_one(columns(results, "connects", "connects/s, {}", 0, range=False)),
        *_one(columns(results, "storm", "ms until {} are freed", 0, range=False)),
        *columns(results, "resume cpu", "µs per resume", 0, range=False),
    ]


def _one(own: list[Column]) -> list[Column]:
    """Choose one size: what a stream costs hardly depends on it."""
    return [column for column in own if column.subscribers == _TYPICAL] or own[-1:]


if __name__ == "__main__":
    write(Results.read(Path(sys.argv[1])), Path(sys.argv[2]))
