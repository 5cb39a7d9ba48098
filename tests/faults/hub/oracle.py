"""Judges what a reader was given: every event once and in order, and each hole announced, truly and once."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from unbroken.hub.cursor import digest_of, read_cursor
from unbroken.logs import Position

from .truth import Truth

__all__ = ["At", "Diary", "Got", "Opened", "Problem", "Step", "Told", "Verdict", "judge"]


@dataclass(frozen=True, slots=True)
class Opened:
    """A connection was made, with a cursor or without, and answered with a header; code that iterates gets none."""

    cursor: str
    header: str


@dataclass(frozen=True, slots=True)
class At:
    """A block said where the reader is, and brought no event."""

    id: str


@dataclass(frozen=True, slots=True)
class Got:
    """An event came."""

    id: str
    data: str


@dataclass(frozen=True, slots=True)
class Told:
    """A gap was told."""

    gap: str
    """JSON."""
    at: float
    """When it was received."""


Step = Opened | At | Got | Told


@dataclass(slots=True)
class Diary:
    """What one reader went through, in its order."""

    name: str
    topics: tuple[str, ...]
    overflows: bool = False
    """It asked for the newest instead of all."""
    steps: list[Step] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Problem:
    """A promise that was not kept."""

    kind: str
    reader: str
    text: str


@dataclass(slots=True)
class Verdict:
    """Sums over all readers."""

    deliveries: int = 0
    connections: int = 0
    resumed: int = 0
    gaps: Counter[str] = field(default_factory=Counter)
    problems: list[Problem] = field(default_factory=list)

    def count(self, kind: str) -> int:
        """Return how many problems there were of one kind."""
        return sum(problem.kind == kind for problem in self.problems)

    def add(self, other: Verdict) -> None:
        """Take in what was judged elsewhere."""
        self.deliveries += other.deliveries
        self.connections += other.connections
        self.resumed += other.resumed
        self.gaps += other.gaps
        self.problems += other.problems


@dataclass(frozen=True, slots=True)
class _Gap:
    reason: str
    topic: str
    after: Position | None
    next: Position | None
    missed: int | None
    at: float

    @classmethod
    def of(cls, told: Told) -> _Gap:
        said: dict[str, Any] = json.loads(told.gap)
        after, following = (Position.parse(said[name] or "") for name in ("after", "next"))
        return cls(said["reason"], said["topic"], after, following, said["missed"], told.at)


def judge(truth: Truth, diaries: Sequence[Diary], ends: dict[str, Position] | None = None) -> Verdict:
    """Judge the diaries of readers; `ends` is where each must have come to in its topics."""
    verdict = Verdict()
    for diary in diaries:
        _Judge(truth, diary, verdict).run(ends or {})
    return verdict


class _Judge:
    """Follows one reader through its diary."""

    def __init__(self, truth: Truth, diary: Diary, verdict: Verdict) -> None:
        self.truth = truth
        self.diary = diary
        self.verdict = verdict
        self.digests = {topic: digest_of(topic) for topic in diary.topics}
        self.at: dict[str, Position] = {}
        """Where the reader is in each topic, as far as it was told."""
        self.gaps: dict[str, _Gap] = {}
        """Told, and nothing of the topic came since."""
        self.passed: dict[str, set[Position]] = {}
        """Where it stood before each of them: an id may still say so, and whoever comes back with it is told again."""
        self.told: set[tuple[str, Position | None]] = set()
        self.header = ""
        """Of this connection, until its first block has come."""

    def run(self, ends: dict[str, Position]) -> None:
        for step in self.diary.steps:
            match step:
                case Opened():
                    self._open(step)
                case At():
                    self._take_id(step.id, None)
                case Got():
                    self._get(step)
                case Told():
                    self._hear(_Gap.of(step))
        for topic in self.diary.topics:
            if topic in ends and self.at.get(topic) != ends[topic]:
                self._complain("unfinished", f"{topic} ends at {ends[topic]}, the reader at {self.at.get(topic)}")

    def _complain(self, kind: str, text: str) -> None:
        self.verdict.problems.append(Problem(kind, self.diary.name, text))

    def _open(self, step: Opened) -> None:
        self.verdict.connections += 1
        self.verdict.resumed += bool(step.cursor)
        self.at = self._positions(step.cursor) if step.cursor else {}
        self.gaps.clear()
        self.passed.clear()
        self.told.clear()
        self.header = step.header
        if step.header and (step.header == "none") != (not step.cursor):
            self._complain("header", f"{step.header!r} for cursor {step.cursor!r}")

    def _positions(self, id: str) -> dict[str, Position]:  # noqa: A002 - the field's own name
        cursor = read_cursor(id, b"")
        if cursor is None:
            self._complain("id", f"{id!r} cannot be read")
            return {}
        if isinstance(cursor, Position):
            return {self.diary.topics[0]: cursor}
        return {topic: cursor[digest] for topic, digest in self.digests.items() if digest in cursor}

    def _check_header(self, gap: _Gap | None) -> None:
        """Hold the header against the first block: an event or an id, or a gap."""
        header, self.header = self.header, ""
        expected = "complete"
        if gap is not None:
            expected = f"gap; reason={gap.reason}" + ("" if gap.missed is None else f"; missed={gap.missed}")
        # Of several topics the header tells the first gap that reading on will meet; other topics may come before it.
        ahead = gap is None and len(self.diary.topics) > 1 and header.startswith("gap; ")
        if header not in ("", "none", expected) and not ahead:
            self._complain("header", f"{header!r}, and what came was {expected!r}")

    # Gaps.

    def _hear(self, gap: _Gap) -> None:
        self._check_header(gap)
        self.verdict.gaps[gap.reason] += 1
        if (gap.topic, gap.after) in self.told:
            self._complain("repeated", f"{gap}")
        self.told.add((gap.topic, gap.after))
        earlier = self.gaps.get(gap.topic)
        here = self._far_side(earlier) if earlier is not None else self.at.get(gap.topic)
        if here is not None and gap.after != here:
            self._complain("gap", f"after is not {here}: {gap}")
        complaint = self._doubt(gap)
        if complaint:
            self._complain("gap", f"{complaint}: {gap}")
        self.gaps[gap.topic] = gap
        self.passed.setdefault(gap.topic, set()).update(place for place in (here, gap.after) if place is not None)

    def _far_side(self, gap: _Gap) -> Position | None:
        known = gap.next is not None and (gap.topic, gap.next) in self.truth.facts
        return self.truth.before(gap.topic, gap.next) if known and gap.next is not None else None

    def _doubt(self, gap: _Gap) -> str:
        """Return what is not true about a gap."""
        if gap.after is None:
            return "no reader had an unreadable cursor"
        if gap.next is not None and (gap.topic, gap.next) not in self.truth.facts:
            return "next never was"
        place = (gap.topic, gap.after)
        match gap.reason:
            case "epoch":
                true = place in self.truth.undone or (gap.topic, gap.after.epoch) in self.truth.lost
                other = gap.next is None or gap.next.epoch != gap.after.epoch
                return "" if true and other and gap.missed is None else "no epoch was lost"
            case "rollback" | "fork":
                return "" if place in self.truth.undone and gap.missed is None else "nothing was taken back"
            case "trimmed":
                return self._doubt_count(gap, gap.after, trimmed=True)
            case "overflow" if self.diary.overflows:
                return self._doubt_count(gap, gap.after, trimmed=False)
        return "no such reason"

    def _doubt_count(self, gap: _Gap, after: Position, *, trimmed: bool) -> str:
        if gap.next is None:
            return "" if gap.missed else "nothing was missed"
        last = self.truth.before(gap.topic, gap.next)
        if trimmed and (gap.topic, last) not in self.truth.trimmed:
            return "that is not trimmed"
        # A fork that lies in what was trimmed cannot be seen any more, by anybody.
        if (gap.topic, after) not in self.truth.undone and not self.truth.is_behind(gap.topic, last, after):
            return "next does not come behind after"
        return "" if gap.missed == last.seq - after.seq > 0 else "missed is not what is between"

    # Events.

    def _get(self, got: Got) -> None:
        self.verdict.deliveries += 1
        topic = json.loads(got.data)["t"]
        self._take_id(got.id, topic)
        position = self.at.get(topic)
        fact = self.truth.facts.get((topic, position)) if position is not None else None
        if fact is None or fact.payload != f"data: {got.data}\n":
            self._complain("unknown", f"{topic} {position} {got.data[:60]}")

    def _take_id(self, id: str, moved: str | None) -> None:  # noqa: A002 - the field's own name
        """Go to where an id says; only the topic `moved` may have gone on, by one event."""
        if self.header:
            self._check_header(None)
        for topic, position in self._positions(id).items():
            gap, here = self.gaps.get(topic), self.at.get(topic)
            if gap is not None:
                if topic != moved and position in self.passed[topic]:
                    continue
                self._land(topic, position, gap, by_event=topic == moved)
                del self.gaps[topic], self.passed[topic]
            elif topic == moved:
                self._follow(topic, position)
            elif here is not None and position != here:
                self._complain("cursor", f"{topic} is at {here}, and an id says {position}")
            self.at[topic] = position

    def _land(self, topic: str, position: Position, gap: _Gap, *, by_event: bool) -> None:
        """Look at where a reader is behind a gap."""
        if by_event and (topic, position) not in self.truth.facts:
            return  # said elsewhere
        landed = self.truth.before(topic, position) if by_event else position
        if gap.next is not None:
            if landed != self._far_side(gap):
                self._complain("hole", f"{topic} goes on at {position}, and the gap said {gap.next}")
            return
        # The gap ended where the topic did when it was found: what is before `landed` was there when it was told.
        fact = self.truth.facts.get((topic, landed))
        if fact is not None and fact.at > gap.at:
            self._complain("hole", f"{topic} goes on behind {landed}, which came after {gap}")

    def _follow(self, topic: str, position: Position) -> None:
        here = self.at.get(topic)
        if here is None or (topic, position) not in self.truth.facts:
            return
        if self.truth.before(topic, position) != here:
            self._complain(self._kind(topic, here, position), f"{topic} from {here} to {position}")

    def _kind(self, topic: str, here: Position, position: Position) -> str:
        if position == here or self.truth.is_behind(topic, here, position):
            return "duplicate"
        return "hole" if self.truth.is_behind(topic, position, here) else "fork"
