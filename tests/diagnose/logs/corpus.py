"""The corpus: excerpts of logs, and what each of them shows."""

from __future__ import annotations

import tomllib
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from unbroken.diagnose.logs import Explanation, explain

__all__ = ["EXCERPTS", "FOLDER", "Excerpt", "Key", "shown"]

FOLDER = Path(__file__).parent / "corpus"

Key = tuple[str, str | None]
"""A cause and its route."""


@dataclass(frozen=True, slots=True)
class Excerpt:
    """One log, and what it shows."""

    name: str
    findings: Counter[Key]
    unrelated: int

    @property
    def path(self) -> Path:
        return FOLDER / self.name

    def explain(self) -> Explanation:
        return explain([self.path])


def shown(explanation: Explanation) -> Counter[Key]:
    """Return what was found, in the form in which the corpus has it."""
    return Counter({(finding.cause, finding.route): finding.count for finding in explanation.findings})


def _excerpts() -> tuple[Excerpt, ...]:
    tables = tomllib.loads((FOLDER / "expected.toml").read_text(encoding="utf-8"))
    return tuple(
        Excerpt(
            name,
            Counter({(finding["cause"], finding.get("route")): finding["count"] for finding in table["findings"]}),
            table["unrelated"],
        )
        for name, table in tables.items()
    )


EXCERPTS = _excerpts()
