"""Judges runs: by what the log has in the end, what their producers wrote down, and what each reader was given."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from .ledger import Fact

__all__ = ["Diary", "Fate", "Line", "Order", "Problem", "Story", "judge"]

START, END, SNAPSHOT = "run-start", "run-end", "run-snapshot"

Fate = Literal["killed", "frozen", "terminated"]
"""What befell a process."""


@dataclass(frozen=True, slots=True)
class Line:
    """An event, as a reader is given it and as the log has it."""

    id: str
    event: str
    data: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """A run that was asked for."""

    run: str
    items: int
    restarts: bool = False
    """Another process begins it anew when its own is gone."""
    coalesces: bool = False
    """What its producer sends is kept a little later."""
    cancelled: bool = False
    """Somebody asked for that, at any time."""


@dataclass(slots=True)
class Diary:
    """What one reader was given, over all its connections."""

    run: str
    from_start: bool = True
    """It began there, and not where the run was when it came."""
    lines: list[Line] = field(default_factory=list)
    gaps: list[str] = field(default_factory=list)
    refused: list[int] = field(default_factory=list)
    """Answers that are no stream of the run, and no fault that passes."""
    connections: int = 0
    leaves: int = 0
    finished: bool = False
    """Its stream was ended for good."""


@dataclass(frozen=True, slots=True)
class Story:
    """What the log has of a run in the end."""

    lines: Sequence[Line]
    closed: bool


@dataclass(frozen=True, slots=True)
class Problem:
    """A breach of what is promised."""

    kind: str
    run: str
    text: str


def judge(
    orders: Sequence[Order],
    stories: dict[str, Story],
    facts: Sequence[Fact],
    fates: dict[int, Fate],
    diaries: Sequence[Diary],
) -> list[Problem]:
    """Return all that is wrong.

    Args:
        orders: The runs that were asked for, by clients who got an answer.
        stories: What became of each.
        facts: What their producers wrote down.
        fates: The processes that something befell, by their number.
        diaries: Those of all readers.
    """
    problems = list[Problem]()
    by_run: dict[str, list[Fact]] = {}
    for fact in facts:
        by_run.setdefault(fact.run, []).append(fact)
    for order in orders:
        problems += _Run(order, stories[order.run], by_run.get(order.run, []), fates).judged()
    for diary in diaries:
        problems += _judge_diary(diary, stories[diary.run])
    return problems


@dataclass(slots=True)
class _Attempt:
    number: int
    items: list[Any] = field(default_factory=list)
    """What its producer sent."""


class _Run:
    """One run, judged by its own log."""

    def __init__(self, order: Order, story: Story, facts: Sequence[Fact], fates: dict[int, Fate]) -> None:
        self.order = order
        self.story = story
        self.facts = facts
        self.fates = fates
        self.attempts = list[_Attempt]()
        self.said: dict[str, Any] = {}

    def judged(self) -> Iterator[Problem]:
        """Return what is wrong with it."""
        checks = (self._form, self._items, self._acknowledged, self._elected, self._end)
        return (Problem(kind, self.order.run, text) for check in checks for kind, text in check())

    def _form(self) -> Iterator[tuple[str, str]]:
        """Attempts in order, one end, and nothing behind it."""
        for line in self.story.lines:
            if line.event == START:
                self.attempts.append(_Attempt(json.loads(line.data)["attempt"]))
            elif line.event == END:
                self.said = json.loads(line.data)
            elif not self.attempts:
                yield "form", f"it begins with {line}"
                return
            elif line.event != SNAPSHOT:
                self.attempts[-1].items.append(json.loads(line.data))
        numbers = [attempt.number for attempt in self.attempts]
        if numbers != list(range(1, len(numbers) + 1)) or not numbers:
            yield "election", f"its attempts are {numbers}"
        ends = [place for place, line in enumerate(self.story.lines, 1) if line.event == END]
        if ends != [len(self.story.lines)]:
            yield "end", f"its ends are at {ends} of {len(self.story.lines)}"
        if not self.story.closed:
            yield "end", "it is not closed"

    def _items(self) -> Iterator[tuple[str, str]]:
        """Each attempt has its own items, in order; a producer that was cancelled had one word more."""
        for attempt in self.attempts:
            strangers = [item for item in attempt.items if item["attempt"] != attempt.number]
            if strangers:
                yield "fence", f"in attempt {attempt.number} there is {strangers[0]}, and {len(strangers)} in all"
            numbers = [item["number"] for item in attempt.items if item["attempt"] == attempt.number]
            if -1 in numbers[:-1] or [it for it in numbers if it >= 0] != list(range(sum(it >= 0 for it in numbers))):
                yield "hole", f"attempt {attempt.number} has {numbers}"

    def _acknowledged(self) -> Iterator[tuple[str, str]]:
        """What was acknowledged is there."""
        kept = {(item["attempt"], item["number"]) for attempt in self.attempts for item in attempt.items}
        lost = {(it.attempt, it.number) for it in self.facts if it.word == "sent"} - kept
        if lost:
            yield "acknowledgement", f"of what was sent there is not {sorted(lost)[:5]}, {len(lost)} in all"

    def _elected(self) -> Iterator[tuple[str, str]]:
        """A producer is called once for each attempt."""
        begun = Counter(fact.attempt for fact in self.facts if fact.word == "begun")
        twice = [attempt for attempt, count in begun.items() if count > 1]
        if twice:
            yield "election", f"attempts {twice} were begun twice"
        unheard = begun.keys() - {attempt.number for attempt in self.attempts}
        if unheard:
            yield "election", f"attempts {unheard} were begun, and have no start"

    def _end(self) -> Iterator[tuple[str, str]]:
        """It ended as it had to, by what befell its processes."""
        if not self.said or not self.attempts:
            return
        status, last = self.said["status"], self.attempts[-1]
        if self.said["attempt"] != last.number:
            yield "end", f"it says {self.said}, in attempt {last.number}"
        for attempt in self.attempts[:-1]:
            if not self._fates_of(attempt.number):
                yield "hasty", f"attempt {attempt.number} was taken from a process that nothing befell"
        if len(self.attempts) > 1 and not self.order.restarts:
            yield "status", "it began anew, and was not to"
        if status == "lost" and not self.order.restarts and not self._fates_of(last.number):
            yield "hasty", "it was lost with a process that nothing befell"
        elif status not in self._possible(last.number):
            yield "status", f"it is {status}, of {sorted(self._possible(last.number))}"
        if status == "done" and sum(item["number"] >= 0 for item in last.items) != self.order.items:
            yield "hole", f"it is done with {len(last.items)} of {self.order.items}"

    def _fates_of(self, attempt: int) -> set[Fate]:
        """Return what befell the process of an attempt; of one that never began it may be anything."""
        processes = {fact.process for fact in self.facts if fact.word == "begun" and fact.attempt == attempt}
        found = {self.fates[process] for process in processes if process in self.fates}
        return found if processes else set(self.fates.values())

    def _possible(self, attempt: int) -> set[str]:
        fates = self._fates_of(attempt)
        possible = {"done"}
        if self.order.cancelled:
            possible.add("cancelled")
        if not self.order.restarts:
            possible |= {"lost"} if fates else set()
            possible |= {"interrupted"} if "terminated" in fates else set()
        return possible


def _judge_diary(diary: Diary, story: Story) -> Iterator[Problem]:
    def problem(kind: str, text: str) -> Problem:
        return Problem(kind, diary.run, f"a reader: {text}")

    if diary.refused:
        yield problem("refused", f"was answered {diary.refused}")
    if diary.gaps:
        yield problem("gap", f"was told of {diary.gaps}")
    if not diary.finished:
        yield problem("unfinished", f"has {len(diary.lines)} of {len(story.lines)}")
        return
    ends = [place for place, line in enumerate(diary.lines, 1) if line.event == END]
    if ends != [len(diary.lines)]:
        yield problem("end", f"has ends at {ends} of {len(diary.lines)}")
    whole = list(story.lines)
    expected = whole if diary.from_start else whole[max(0, len(whole) - len(diary.lines)) :]
    if diary.lines != expected:
        yield problem("reading", _difference(diary.lines, expected))


def _difference(seen: Sequence[Line], expected: Sequence[Line]) -> str:
    pairs = zip(seen, expected, strict=False)
    place = next((place for place, (one, other) in enumerate(pairs) if one != other), min(len(seen), len(expected)))
    found, missed = seen[place : place + 2], expected[place : place + 2]
    return f"has {len(seen)} of {len(expected)}, and at {place} {found} for {missed}"
