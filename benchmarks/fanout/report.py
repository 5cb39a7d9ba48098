"""Tables in Markdown: medians, the range in brackets, and how many times ours goes into it."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass

from benchmarks.fanout.peers import OURS, OURS_DIRECT
from benchmarks.fanout.results import Results

__all__ = ["Column", "columns", "report", "table"]


@dataclass(frozen=True, slots=True)
class Column:
    """One figure at one number of subscribers."""

    title: str
    figure: str
    subscribers: int
    digits: int = 1
    ratio: bool = False
    range: bool = True


def columns(results: Results, figure: str, title: str, digits: int = 1, **options: bool) -> list[Column]:
    """Give a column for each number of subscribers that the figure was measured at."""
    return [Column(title.format(f"{size:,}"), figure, size, digits, **options) for size in results.sizes(figure)]


def report(results: Results) -> str:
    """Write all tables of a run."""
    r = results
    parts = [
        ("fan-out: µs of server CPU per delivery", [
            *columns(r, "cpu", "{}", 2, ratio=True), *columns(r, "batch", "{}, ten at once", 2, ratio=True)]),
        ("fan-out: ms from publish to client", [
            *columns(r, "p50", "burst to {}, p50"), *columns(r, "p99", "burst to {}, p99"),
            *columns(r, "paced p50", "5/s to {}, p50"), *columns(r, "paced p99", "5/s to {}, p99")]),
        ("a subscriber: µs of server CPU, KiB of resident memory", [
            *columns(r, "memory", "KiB, {}"), *columns(r, "connect cpu", "connect, {}", 0),
            *columns(r, "heartbeat", "heartbeat, {}"), *columns(r, "storm cpu", "freed, {}", 0)]),
        ("coming and going", [
            *columns(r, "first p50", "µs to the first event, p50", 0), *columns(r, "first p99", "p99", 0),
            *columns(r, "connects", "connects/s, {}", 0), *columns(r, "storm", "ms until {} are freed", 0)]),
        ("resume storm: all come back with their position", [
            *columns(r, "resume cpu", "µs of server CPU each, {}", 0), *columns(r, "resumes", "per second, {}", 0)]),
        ("slow readers: events of 16 KiB, some subscribers stop reading", [
            *columns(r, "slow p99 before", "p99 ms, all of {} read"), *columns(r, "slow p99", "p99 ms of the others"),
            *columns(r, "slow memory", "KiB more per slow reader", 0),
            *columns(r, "slow sent", "KiB published meanwhile", 0)]),
        ("the load generator: share of its time with work to do; sockets ready at once", [
            *columns(r, "busy", "{}", 2, range=False), *columns(r, "queue", "ready, {}", 1, range=False)]),
    ]  # fmt: skip
    tables = [f"### {title}\n\n{table(results, own)}\n" for title, own in parts if own]
    return "\n".join([results.machine, "", *tables, *_remarks(results)])


def table(results: Results, own: Sequence[Column]) -> str:
    """Write one table; a peer without any of its figures has no row."""
    head = ["| peer |" + "".join(f" {column.title} |" for column in own), "|---|" + "---:|" * len(own)]
    rows = [_row(results, peer, own) for peer in results.values if any(_values(results, peer, one) for one in own)]
    return "\n".join([*head, *rows])


def _row(results: Results, peer: str, own: Sequence[Column]) -> str:
    return f"| {peer} |" + "".join(f" {_cell(results, peer, column)} |" for column in own)


def _values(results: Results, peer: str, column: Column) -> list[float]:
    return results.get(peer, column.figure, column.subscribers)


def _cell(results: Results, peer: str, column: Column) -> str:
    values = _values(results, peer, column)
    if not values:
        return "-"
    median = statistics.median(values)
    text = f"{median:,.{column.digits}f}"
    if column.range and len(values) > 1:
        text += f" [{min(values):,.{column.digits}f}-{max(values):,.{column.digits}f}]"
    ours = next((own for own in (OURS, OURS_DIRECT) if _values(results, own, column)), None)
    if column.ratio and ours:
        text += f" ({median / statistics.median(_values(results, ours, column)):.2f}x)"
    return text


def _remarks(results: Results) -> list[str]:
    absent = [f"* not here: {peer}: {reason}" for peer, reason in results.absent.items()]
    flaws = [f"* **{peer}: {flaw}**" for peer, own in results.flaws.items() for flaw in own]
    return [*absent, *flaws, ""]
