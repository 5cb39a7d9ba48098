"""The matrix: every server, every way of leaving, every kind of generator, on real sockets."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable
from dataclasses import replace

import pytest

from .cells import Cell
from .clients import ON_THE_SPOT
from .expectations import DIFFERENCES, Difference, by_nature, expected
from .generators import GENERATORS
from .reports import Report, tasks_left
from .servers import SERVERS

pytestmark = pytest.mark.timeout(120)

NOISE = re.compile(r"Traceback|Exception|Error|Warning|ERROR|WARNING|CRITICAL|never retrieved|never awaited")

IDLE_WORKERS = {"unbroken worker thread", "AnyIO worker thread"}
"""A worker thread ends when it has been idle for ten seconds; that it is idle, `busy_threads` says."""

ReportOf = Callable[[str], Report]


@pytest.mark.parametrize("kind", GENERATORS)
@pytest.mark.parametrize("behaviour", ON_THE_SPOT)
@pytest.mark.parametrize("server", SERVERS)
def test_a_stream_ends_as_the_table_says(report_of: ReportOf, server: str, behaviour: str, kind: str) -> None:
    """The generator is told where it stands, cleans up to its end, and leaves one record and nothing else."""
    outcome = report_of(server).outcomes[Cell(behaviour, kind)]
    differences = expected(server, behaviour, kind).differences(outcome.observed)
    assert not differences, "; ".join(differences)


@pytest.mark.parametrize("kind", GENERATORS)
@pytest.mark.parametrize("behaviour", ON_THE_SPOT)
@pytest.mark.parametrize("server", SERVERS)
def test_others_are_served_meanwhile(report_of: ReportOf, server: str, behaviour: str, kind: str) -> None:
    """No generator, not even one that never awaits, keeps the server from answering someone else."""
    assert report_of(server).outcomes[Cell(behaviour, kind)].healthy == [True, True]


@pytest.mark.parametrize("kind", ["busy", "ticking", "sync"])
@pytest.mark.parametrize("server", SERVERS)
def test_a_slow_reader_loses_nothing(report_of: ReportOf, server: str, kind: str) -> None:
    """What a slow reader has received is every item from the first on, in order."""
    numbers = report_of(server).outcomes[Cell("slow", kind)].client.numbers()
    assert len(numbers) > 5
    assert numbers == list(range(1, len(numbers) + 1))


@pytest.mark.parametrize("server", SERVERS)
def test_a_producer_that_fails_is_seen_to_have_failed(report_of: ReportOf, server: str) -> None:
    """The client gets what was yielded, a `stream-error` event, and an incomplete body."""
    client = report_of(server).outcomes[Cell("slow", "raising")].client
    assert client.numbers() == [1]
    assert b"event: stream-error\n" in client.body
    assert b"raised by itself" not in client.body
    assert client.end == "incomplete"


@pytest.mark.parametrize("server", SERVERS)
def test_nothing_is_left(report_of: ReportOf, server: str) -> None:
    """When all clients are gone the process holds the tasks and descriptors it held before; no thread, no generator."""
    report = report_of(server)
    # Exactly those of before, and of those that the server is known to leave no more: hypercorn's own for pipelined
    # clients end at times after all.
    after, before = Counter[str](report.after["tasks"]), Counter[str](report.before["tasks"])
    assert before - after == Counter()
    assert after - Counter(tasks_left(report.before, report.differences)) == Counter()
    assert report.after["descriptors"] == report.before["descriptors"]
    assert set(report.after["threads"]) <= {*report.before["threads"], *IDLE_WORKERS}
    assert report.after["busy_threads"] == []
    assert report.after["generators"] == 0


@pytest.mark.parametrize("server", SERVERS)
def test_the_collector_finds_nothing(report_of: ReportOf, server: str) -> None:
    """No generator waits for the garbage collector to be told, closed or freed."""
    report = report_of(server)
    assert report.noted_after_collection == report.noted_before_collection


@pytest.mark.parametrize("server", SERVERS)
def test_a_client_that_leaves_is_no_news(report_of: ReportOf, server: str) -> None:
    """Nothing above INFO is logged outside the streams' own calls, and standard error stays free of it."""
    report = report_of(server)
    stray = [line["logger"] for line in report.log if line["probe"] is None]
    assert stray == [logger for difference in report.differences for logger in difference.stray_log]
    assert NOISE.findall(report.stderr) == [], report.stderr


@pytest.mark.parametrize("difference", DIFFERENCES, ids=lambda difference: difference.because[:40])
def test_a_difference_is_explained_and_makes_one(difference: Difference) -> None:
    """Each entry of the table gives its reason, and changes what is expected of every cell that it names."""
    assert len(difference.because.split()) > 8
    assert difference.changes or difference.stray_log or difference.left_tasks
    for behaviour in difference.behaviours:
        for kind in difference.kinds:
            plain = by_nature(behaviour, kind)
            assert not difference.changes or replace(plain, **difference.changes) != plain
