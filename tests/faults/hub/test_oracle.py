"""The judge of the fuzz is judged: by diaries that are right, and by ones that are wrong in one place."""

from __future__ import annotations

import json
from collections.abc import Sequence

import pytest

from unbroken.logs import Position

from .oracle import At, Diary, Got, Opened, Step, Told, judge
from .truth import Fact, Truth


def at(seq: int, tag: str = "aa", epoch: str = "e0") -> Position:
    """Return a position; the tags of one branch are all alike."""
    return Position(epoch, seq, tag if seq else "")


def truth() -> Truth:
    """Return a history of 1 to 6, of which 1 and 2 were trimmed; 5 and 6 were taken back, and written anew as `bb`."""
    facts = {("t", at(seq)): Fact("aa" if seq > 1 else "", seq, payload(at(seq))) for seq in range(1, 7)}
    facts[("t", at(5, "bb"))] = Fact("aa", 10, payload(at(5, "bb")))
    facts[("t", at(6, "bb"))] = Fact("bb", 11, payload(at(6, "bb")))
    return Truth(facts, trimmed={("t", at(1)), ("t", at(2))}, undone={("t", at(5)), ("t", at(6))})


def data(position: Position) -> str:
    """Return what was published there."""
    return json.dumps({"t": "t", "k": str(position)})


def payload(position: Position) -> str:
    """Return the same as the log has it."""
    return f"data: {data(position)}\n"


def got(seq: int, tag: str = "aa") -> Got:
    """Return the receipt of an event."""
    return Got(str(at(seq, tag)), data(at(seq, tag)))


def told(reason: str, after: Position, following: Position | None, missed: int | None = None, when: float = 20) -> Told:
    """Return the receipt of a gap."""
    said = {"reason": reason, "topic": "t", "after": str(after), "missed": missed}
    return Told(json.dumps({**said, "next": None if following is None else str(following)}), when)


OPENED = Opened("", "none")
BEGUN = (OPENED, At(str(at(0))))

RIGHT: dict[str, Sequence[Step]] = {
    "all": (*BEGUN, *map(got, range(1, 7))),
    "resumed": (*BEGUN, got(1), Opened(str(at(1)), "complete"), At(str(at(1))), got(2)),
    "trimmed": (Opened(str(at(0)), "gap; reason=trimmed; missed=2"), told("trimmed", at(0), at(3), 2), got(3)),
    "rolled back": (OPENED, At(str(at(6))), told("rollback", at(6), None, when=10.5), got(6, "bb")),
    "forked": (OPENED, At(str(at(5))), told("fork", at(5), at(6, "bb")), got(6, "bb")),
    "told again": (
        Opened(str(at(6)), "gap; reason=rollback"),
        told("rollback", at(6), None),
        Opened(str(at(6)), "gap; reason=rollback"),
        told("rollback", at(6), None),
    ),
}
WRONG: dict[str, tuple[str, Sequence[Step]]] = {
    "an event is missing": ("hole", (*BEGUN, got(1), got(3))),
    "an event comes twice": ("duplicate", (*BEGUN, got(1), got(2), got(2))),
    "an event comes again after a resume": ("duplicate", (*BEGUN, got(1), got(2), Opened(str(at(2)), ""), got(1))),
    "another history goes on": ("fork", (OPENED, At(str(at(5))), got(6, "bb"))),
    "what never was": ("unknown", (*BEGUN, Got(str(at(9)), data(at(9))))),
    "other data": ("unknown", (*BEGUN, Got(str(at(1)), data(at(2))))),
    "an id runs ahead": ("cursor", (*BEGUN, At(str(at(3))))),
    "nothing was taken back": ("gap", (OPENED, At(str(at(4))), told("rollback", at(4), None))),
    "not trimmed": ("gap", (OPENED, At(str(at(2))), told("trimmed", at(2), at(5), 2))),
    "miscounted": ("gap", (*BEGUN, told("trimmed", at(0), at(3), 3))),
    "told of another place": ("gap", (OPENED, At(str(at(5))), told("rollback", at(6), None))),
    "told twice": ("repeated", (OPENED, At(str(at(6))), told("rollback", at(6), None), told("rollback", at(6), None))),
    "not what the gap said": ("hole", (*BEGUN, told("trimmed", at(0), at(3), 2), got(4))),
    "more is gone than the gap ends with": (
        "hole",
        (OPENED, At(str(at(6))), told("rollback", at(6), None, when=9), got(6, "bb")),
    ),
    "the header is silent": (
        "header",
        (Opened(str(at(0)), "complete"), told("trimmed", at(0), at(3), 2), got(3)),
    ),
}


@pytest.mark.parametrize("name", RIGHT)
def test_a_diary_in_which_all_is_right_has_no_problem(name: str) -> None:
    """Order, resuming, and gaps that are true."""
    verdict = judge(truth(), [Diary("reader", ("t",), steps=list(RIGHT[name]))])
    assert verdict.problems == []


@pytest.mark.parametrize("name", WRONG)
def test_what_is_wrong_is_found(name: str) -> None:
    """Each kind of breach is named."""
    kind, steps = WRONG[name]
    verdict = judge(truth(), [Diary("reader", ("t",), steps=list(steps))])
    assert kind in {problem.kind for problem in verdict.problems}


def test_who_does_not_come_to_the_end_is_found() -> None:
    """A reader that hangs has no hole, and misses all that comes."""
    verdict = judge(truth(), [Diary("reader", ("t",), steps=[*BEGUN, got(1)])], {"t": at(4)})
    assert [problem.kind for problem in verdict.problems] == ["unfinished"]
