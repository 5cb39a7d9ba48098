"""What is remembered of streams that are gone."""

from __future__ import annotations

import json
import threading
import tracemalloc
from dataclasses import replace
from itertools import product
from typing import Any

import pytest

from tests.status.support import finding, record, refusal
from unbroken import CloseReason
from unbroken.status import History

START = 1_700_000_040.0
"""The first second of a minute."""


class Clock:
    """A clock that is set by hand."""

    def __init__(self) -> None:
        self.now = START

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    """Begin at a whole minute."""
    return Clock()


@pytest.fixture
def history(clock: Clock) -> History:
    """Make a history by that clock."""
    return History(clock)


def ended_by_minute(history: History) -> list[tuple[float, dict[str, int]]]:
    """Return what ended, by minutes since the beginning."""
    return [((minute["at"] - START) / 60, minute["ended"]) for minute in history.view()["minutes"]]


def lasted(history: History) -> dict[tuple[int, int | None], dict[str, int]]:
    """Return the buckets of durations that hold something."""
    return {
        (bucket["from"], bucket["to"]): bucket["ended"] for bucket in history.view()["durations"] if bucket["ended"]
    }


def test_ends_are_counted_by_minute_and_reason(history: History, clock: Clock) -> None:
    """Each end is in the minute in which it came, under its reason."""
    history.closed(record(CloseReason.COMPLETED))
    history.closed(record(CloseReason.CLIENT_CLOSED))
    clock.now += 59.9
    history.closed(record(CloseReason.CLIENT_CLOSED))
    clock.now += 0.1
    history.closed(record(CloseReason.SHUTDOWN))
    assert ended_by_minute(history) == [(0, {"completed": 1, "client_closed": 2}), (1, {"shutdown": 1})]


def test_an_hour_is_kept_and_no_more(history: History, clock: Clock) -> None:
    """After sixty minutes an end is in no minute any more, while the counts since the beginning keep it."""
    history.closed(record())
    clock.now += 59 * 60 + 59
    assert ended_by_minute(history) == [(0, {"completed": 1})]
    clock.now += 1
    assert ended_by_minute(history) == []
    assert lasted(history) == {}
    history.closed(record(CloseReason.MAX_AGE))
    assert ended_by_minute(history) == [(60, {"max_age": 1})]
    assert history.view()["ended"] == {"completed": 1, "max_age": 1}


def test_a_clock_that_is_set_back_shows_no_future(history: History, clock: Clock) -> None:
    """What was counted in minutes that come again later is left out until then."""
    clock.now += 30 * 60
    history.closed(record())
    clock.now -= 20 * 60
    assert ended_by_minute(history) == []
    history.closed(record(CloseReason.LIMIT))
    assert ended_by_minute(history) == [(10, {"limit": 1})]


@pytest.mark.parametrize(
    ("duration", "bucket"),
    [(0.0, (0, 1)), (0.999, (0, 1)), (1.0, (1, 2)), (59.9, (30, 60)), (60.0, (60, 120)), (60.3, (60, 120)),
     (57_600.0, (57_600, None)), (1e9, (57_600, None))],
)  # fmt: skip
def test_a_duration_has_one_bucket(history: History, duration: float, bucket: tuple[int, int | None]) -> None:
    """Its lower bound belongs to a bucket: what a timeout of 60 s has cut lasted a little longer."""
    history.closed(record(duration=duration))
    assert lasted(history) == {bucket: {"completed": 1}}


def test_durations_are_told_by_reason(history: History, clock: Clock) -> None:
    """The distribution is that of all minutes of the hour together, each reason by itself."""
    for _ in range(3):
        history.closed(record(CloseReason.CLIENT_CLOSED, 61.0))
        history.closed(record(CloseReason.COMPLETED, 61.0))
        clock.now += 60
    history.closed(record(CloseReason.COMPLETED, 3.0))
    assert lasted(history) == {(60, 120): {"client_closed": 3, "completed": 3}, (2, 4): {"completed": 1}}


def test_refusals_are_counted_by_limit(history: History, clock: Clock) -> None:
    """The hour's and all of them, with what the last one was; never its key, which may be a token."""
    history.refused(refusal("client", path="/first"))
    clock.now += 3600
    history.refused(refusal("client", path="/second"))
    history.refused(refusal("total"))
    client, total = history.view()["refusals"]
    assert (client["limit"], client["last_hour"], client["ever"], client["allowed"]) == ("client", 1, 2, 5)
    assert (client["last"]["path"], client["last"]["at"]) == ("/second", clock.now)
    assert (total["limit"], total["last_hour"], total["ever"]) == ("total", 1, 1)
    assert [minute["refused"] for minute in history.view()["minutes"]] == [2]
    assert "secret" not in json.dumps(history.view())


def test_of_a_long_request_there_is_a_beginning(history: History) -> None:
    """Of its method, its path and its client: all of them are a client's to write."""
    long = "x" * 60_000
    history.refused(replace(refusal(), method=long, path=long, client=long))
    last = history.view()["refusals"][0]["last"]
    assert all(last[name].endswith("x…") and len(last[name]) < 200 for name in ("method", "path", "client"))


def test_a_finding_told_again_takes_the_place_of_the_first(history: History) -> None:
    """A pattern is there once, with its newest numbers, and the newest pattern comes first."""
    history.found(finding(60.0, streams=9))
    history.found(finding(30.0))
    history.found(finding(60.2, streams=90))
    assert [(told["seconds"], told["streams"]) for told in history.view()["findings"]] == [(60.2, 90), (30.0, 9)]


def test_findings_are_bounded(history: History) -> None:
    """Of very many patterns the twenty newest are kept."""
    for route in range(1000):
        history.found(finding(route=f"/{route}"))
    assert [told["route"] for told in history.view()["findings"]] == [f"/{route}" for route in range(999, 979, -1)]


def fill(history: History, clock: Clock, minutes: int) -> None:
    """Let streams of every reason and every length end in each minute."""
    for _, (reason, doubled) in product(range(minutes), product(CloseReason, range(18))):
        history.closed(record(reason, 0.75 * 2**doubled))
        history.refused(refusal("key"))
        clock.now += 60 / (len(CloseReason) * 18)


def test_memory_does_not_grow_with_the_traffic(history: History, clock: Clock) -> None:
    """After an hour in which everything happened, another hour of it needs no more."""
    tracemalloc.start()
    try:
        fill(history, clock, 61)
        before = tracemalloc.get_traced_memory()[0]
        fill(history, clock, 61)
        grown = tracemalloc.get_traced_memory()[0] - before
    finally:
        tracemalloc.stop()
    assert before < 2_000_000
    assert grown < 50_000


def test_no_end_is_lost_between_threads(history: History) -> None:
    """Event loops in several threads may tell of ends at once, while others look."""
    views: list[dict[str, Any]] = []

    def end_many() -> None:
        for _ in range(5000):
            history.closed(record())

    threads = [threading.Thread(target=end_many) for _ in range(4)]
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        views.append(history.view())
    for thread in threads:
        thread.join()
    assert sum(minute["ended"]["completed"] for minute in history.view()["minutes"]) == 20_000
    assert history.view()["ended"] == {"completed": 20_000}
