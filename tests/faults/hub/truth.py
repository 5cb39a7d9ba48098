"""What a log had at any time, written down beside it: by this the readers are judged."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from unbroken.logs import Position

__all__ = ["Fact", "Place", "Truth"]

Place = tuple[str, Position]
"""A topic, and a position in it."""


@dataclass(frozen=True, slots=True)
class Fact:
    """One entry that the log had."""

    previous: str
    at: float
    """When it was appended, by the clock of all processes of this machine."""
    payload: str


@dataclass(slots=True)
class Truth:
    """All entries that there ever were, and what became of them. They form a tree where history was rewritten."""

    facts: dict[Place, Fact] = field(default_factory=dict)
    trimmed: set[Place] = field(default_factory=set)
    undone: set[Place] = field(default_factory=set)
    """Those that the log lost after they had been acknowledged."""
    lost: set[tuple[str, str]] = field(default_factory=set)
    """Topics and the epochs they had, when their whole history was lost."""

    def before(self, topic: str, position: Position) -> Position:
        """Return the position of the entry that `position` was appended to."""
        return Position(position.epoch, position.seq - 1, self.facts[topic, position].previous)

    def path(self, topic: str, position: Position) -> Iterator[Position]:
        """Go back from `position`, itself included, to the topic's beginning."""
        while (topic, position) in self.facts:
            yield position
            position = self.before(topic, position)
        yield position

    def is_behind(self, topic: str, later: Position, earlier: Position) -> bool:
        """Whether `later` was appended to a history that had `earlier`."""
        for position in self.path(topic, later):
            if position.seq <= earlier.seq:
                return position == earlier
        return False

    def as_rows(self) -> dict[str, Any]:
        """Return it as JSON can carry it."""
        return {
            "facts": [[*_row(place), fact.previous, fact.at, fact.payload] for place, fact in self.facts.items()],
            "trimmed": [_row(place) for place in self.trimmed],
            "undone": [_row(place) for place in self.undone],
            "lost": [list(pair) for pair in self.lost],
        }

    @classmethod
    def of_rows(cls, rows: dict[str, Any]) -> Truth:
        """Return what `as_rows` gave."""
        facts = {_place(row): Fact(*row[4:]) for row in rows["facts"]}
        return cls(
            facts,
            {_place(row) for row in rows["trimmed"]},
            {_place(row) for row in rows["undone"]},
            {(topic, epoch) for topic, epoch in rows["lost"]},
        )


def _row(place: Place) -> list[Any]:
    topic, position = place
    return [topic, position.epoch, position.seq, position.tag]


def _place(row: list[Any]) -> Place:
    return row[0], Position(*row[1:4])
