"""Precision and recall of `explain` on the corpus: `python -m tests.diagnose.logs.scores` prints them as Markdown."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from tests.diagnose.logs.corpus import EXCERPTS, shown

__all__ = ["Score", "scores", "table"]


@dataclass(frozen=True, slots=True)
class Score:
    """How one cause fared. A finding is right if its cause and its route are."""

    cause: str
    right: int
    missed: int
    wrong: int

    @property
    def precision(self) -> float:
        """The share of what was found that is right; 1 where nothing was found."""
        return self.right / (self.right + self.wrong) if self.right + self.wrong else 1.0

    @property
    def recall(self) -> float:
        """The share of what was to be found that was found."""
        return self.right / (self.right + self.missed) if self.right + self.missed else 1.0


def scores() -> list[Score]:
    """Measure each cause over the whole corpus, the last entry being all together."""
    right, missed, wrong = Counter[str](), Counter[str](), Counter[str]()
    for excerpt in EXCERPTS:
        expected, found = {*excerpt.findings, *excerpt.missed}, set(shown(excerpt.explain()))
        right.update(cause for cause, _ in expected & found)
        missed.update(cause for cause, _ in expected - found)
        wrong.update(cause for cause, _ in found - expected)
    causes = sorted({*right, *missed, *wrong})
    each = [Score(cause, right[cause], missed[cause], wrong[cause]) for cause in causes]
    return [*each, Score("all", right.total(), missed.total(), wrong.total())]


def table() -> str:
    """Return the scores as a Markdown table."""
    head = [
        f"{len(EXCERPTS)} excerpts, {sum(not (one.findings or one.missed) for one in EXCERPTS)} with nothing to find.",
        "",
    ]
    rows = [
        f"| {score.cause} | {score.right + score.missed} | {score.precision:.2f} | {score.recall:.2f} |"
        for score in scores()
    ]
    return "\n".join([*head, "| cause | to be found | precision | recall |", "|---|---:|---:|---:|", *rows])


if __name__ == "__main__":
    print(table())
