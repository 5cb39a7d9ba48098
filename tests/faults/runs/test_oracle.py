"""The judge of runs is judged: by stories that are right, and by ones that are wrong in one place."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest

from .ledger import Fact
from .oracle import Diary, Fate, Line, Order, Problem, Story, judge

KILLED, LIVING, TERMINATED = 1, 2, 3
FATES: dict[int, Fate] = {KILLED: "killed", TERMINATED: "terminated"}


def lines(*said: tuple[str, Any]) -> list[Line]:
    """Return lines of these types and data, with ids that count."""
    return [Line(str(number), event, json.dumps(data)) for number, (event, data) in enumerate(said, 1)]


def start(attempt: int = 1) -> tuple[str, Any]:
    """Return what a start says."""
    return "run-start", {"run": "r", "attempt": attempt}


def item(number: int, attempt: int = 1) -> tuple[str, Any]:
    """Return an item."""
    return "message", {"attempt": attempt, "number": number}


def end(status: str, attempt: int = 1) -> tuple[str, Any]:
    """Return what an end says."""
    return "run-end", {"status": status, "attempt": attempt}


def begun(process: int, attempt: int = 1) -> Fact:
    """Return that a producer was called."""
    return Fact("begun", "r", attempt, process, -1)


def sent(number: int, attempt: int = 1) -> Fact:
    """Return that an item was acknowledged."""
    return Fact("sent", "r", attempt, LIVING, number)


ORDER = Order(run="r", items=2)
RESTARTED = replace(ORDER, restarts=True)
ANEW = (start(), item(0), start(2), item(0, 2), item(1, 2))
DONE = (start(), item(0), item(1), end("done"))

Case = tuple[Order, Sequence[tuple[str, Any]], Sequence[Fact]]
RIGHT: dict[str, Case] = {
    "done": (ORDER, DONE, [begun(LIVING), sent(0), sent(1)]),
    "done with a snapshot": (ORDER, (start(), item(0), item(1), ("run-snapshot", {}), end("done")), [begun(LIVING)]),
    "lost": (ORDER, (start(), item(0), end("lost")), [begun(KILLED), sent(0)]),
    "lost before it began": (ORDER, (start(), end("lost")), []),
    "begun anew": (RESTARTED, (*ANEW, end("done", 2)), [begun(KILLED), begun(LIVING, 2), sent(1, 2)]),
    "interrupted": (ORDER, (start(), item(0), item(-1), end("interrupted")), [begun(TERMINATED)]),
    "cancelled": (replace(ORDER, cancelled=True), (start(), item(-1), end("cancelled")), [begun(LIVING)]),
}
WRONG: dict[str, tuple[str, Case]] = {
    "no end": ("end", (ORDER, DONE[:-1], [])),
    "two ends": ("end", (ORDER, (*DONE, end("done")), [])),
    "something behind the end": ("end", (ORDER, (*DONE, item(2)), [])),
    "no beginning": ("form", (ORDER, DONE[1:], [])),
    "an item is missing": ("hole", (ORDER, (start(), item(1), end("lost")), [begun(KILLED)])),
    "an item is there twice": ("hole", (ORDER, (start(), item(0), *DONE[1:]), [])),
    "something behind the last word": ("hole", (ORDER, (start(), item(-1), item(0), end("lost")), [begun(KILLED)])),
    "done too early": ("hole", (ORDER, (start(), item(0), end("done")), [])),
    "an acknowledged item is missing": (
        "acknowledgement",
        (ORDER, (start(), item(0), end("lost")), [begun(KILLED), sent(0), sent(1)]),
    ),
    "who was taken over goes on": (
        "fence",
        (RESTARTED, (*ANEW, item(1), end("done", 2)), [begun(KILLED), begun(LIVING, 2)]),
    ),
    "two are elected": ("election", (ORDER, DONE, [begun(LIVING), begun(KILLED)])),
    "two starts": ("election", (ORDER, (start(), *DONE), [begun(LIVING)])),
    "a start that is nowhere": ("election", (RESTARTED, DONE, [begun(KILLED), begun(LIVING, 2)])),
    "lost with a process that lives": ("hasty", (ORDER, (start(), item(0), end("lost")), [begun(LIVING)])),
    "taken from a process that lives": (
        "hasty",
        (RESTARTED, (*ANEW, end("done", 2)), [begun(LIVING), begun(LIVING, 2)]),
    ),
    "begun anew against its order": ("status", (ORDER, (*ANEW, end("done", 2)), [begun(KILLED), begun(LIVING, 2)])),
    "lost, and was to begin anew": ("status", (RESTARTED, (start(), end("lost")), [begun(KILLED)])),
    "cancelled by nobody": ("status", (ORDER, (start(), end("cancelled")), [begun(LIVING)])),
    "the end of another attempt": (
        "end",
        (RESTARTED, (*ANEW, end("done", 1)), [begun(KILLED), begun(LIVING, 2)]),
    ),
}

WHOLE = lines(*DONE)
READ_RIGHT = {
    "all": Diary("r", lines=WHOLE, finished=True),
    "from now": Diary("r", from_start=False, lines=WHOLE[2:], finished=True),
}
READ_WRONG: dict[str, tuple[str, Diary]] = {
    "an event is missing": ("reading", Diary("r", lines=[*WHOLE[:1], *WHOLE[2:]], finished=True)),
    "an event comes twice": ("reading", Diary("r", lines=[*WHOLE[:2], *WHOLE[1:]], finished=True)),
    "its beginning is missing": ("reading", Diary("r", lines=WHOLE[1:], finished=True)),
    "other data": ("reading", Diary("r", lines=[*WHOLE[:1], replace(WHOLE[1], data="{}"), *WHOLE[2:]], finished=True)),
    "another id": ("reading", Diary("r", lines=[*WHOLE[:1], replace(WHOLE[1], id="9"), *WHOLE[2:]], finished=True)),
    "from now, with a hole": ("reading", Diary("r", from_start=False, lines=[WHOLE[1], WHOLE[3]], finished=True)),
    "the end comes twice": ("end", Diary("r", lines=[*WHOLE, WHOLE[-1]], finished=True)),
    "its stream ends without an end": ("end", Diary("r", lines=WHOLE[:-1], finished=True)),
    "it hangs": ("unfinished", Diary("r", lines=WHOLE[:-1])),
    "it was turned away": ("refused", Diary("r", lines=WHOLE, refused=[404], finished=True)),
    "it was told of a gap": ("gap", Diary("r", lines=WHOLE, gaps=["trimmed"], finished=True)),
}


def judged(case: Case, *diaries: Diary, closed: bool = True) -> list[Problem]:
    """Return what the judge finds."""
    order, said, facts = case
    return judge([order], {"r": Story(lines(*said), closed)}, facts, FATES, diaries)


@pytest.mark.parametrize("name", RIGHT)
def test_a_run_in_which_all_is_right_has_no_problem(name: str) -> None:
    """Whatever befell its process."""
    assert judged(RIGHT[name]) == []


@pytest.mark.parametrize("name", WRONG)
def test_what_is_wrong_with_a_run_is_found(name: str) -> None:
    """Each kind of breach is named."""
    kind, case = WRONG[name]
    assert kind in {problem.kind for problem in judged(case)}


def test_a_topic_that_was_left_open_is_found() -> None:
    """It has its end, and somebody could go on behind it."""
    assert [problem.kind for problem in judged(RIGHT["done"], closed=False)] == ["end"]


@pytest.mark.parametrize("name", READ_RIGHT)
def test_a_reader_who_was_given_all_has_no_problem(name: str) -> None:
    """From the start, or from where it came in."""
    assert judged(RIGHT["done"], READ_RIGHT[name]) == []


@pytest.mark.parametrize("name", READ_WRONG)
def test_what_is_wrong_with_a_reading_is_found(name: str) -> None:
    """Each kind of breach is named, and no run is blamed for it."""
    kind, diary = READ_WRONG[name]
    assert kind in {problem.kind for problem in judged(RIGHT["done"], diary)}
