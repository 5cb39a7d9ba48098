"""How well the rules do on the corpus: `python -m tests.diagnose.source.scores` prints it as Markdown."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from tests.diagnose.source.expectations import SOURCES, broken, found
from unbroken.diagnose.source.rules import RULES

__all__ = ["Score", "scores", "table"]


@dataclass(frozen=True, slots=True)
class Score:
    """What one rule found of what it was to find."""

    code: str
    name: str
    right: int
    false: int
    missed: int

    @property
    def precision(self) -> float:
        """The share of its findings that are right."""
        return self.right / (self.right + self.false) if self.right + self.false else 1.0

    @property
    def recall(self) -> float:
        """The share of what is there that it found."""
        return self.right / (self.right + self.missed) if self.right + self.missed else 1.0


def scores() -> list[Score]:
    """Return the score of every rule, by its code."""
    right: Counter[str] = Counter()
    false: Counter[str] = Counter()
    missed: Counter[str] = Counter()
    for path in SOURCES:
        wanted, got = Counter(broken(path)), Counter(found(path))
        right.update(code for _, code in (wanted & got).elements())
        false.update(code for _, code in (got - wanted).elements())
        missed.update(code for _, code in (wanted - got).elements())
    return [Score(r.code, r.name, right[r.code], false[r.code], missed[r.code]) for r in RULES]


def table() -> str:
    """Return the scores as a table in Markdown."""
    right = sum(not broken(path) for path in SOURCES)
    rows = [
        f"| {s.code} | {s.name} | {s.right} | {s.false} | {s.missed} | {s.precision:.0%} | {s.recall:.0%} |"
        for s in scores()
    ]
    said = (
        f"{len(SOURCES)} sources in the manner of public code, {right} of them right as they are. They were written "
        "together with the rules, so the figures say that each rule does what it says, and which of its limits are "
        "known; they are no estimate for other code."
    )
    head = [
        said,
        "",
        "| code | rule | found | false | missed | precision | recall |",
        "|---|---|---:|---:|---:|---:|---:|",
    ]
    return "\n".join([*head, *rows])


if __name__ == "__main__":
    print(table())
