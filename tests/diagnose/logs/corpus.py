"""The corpus: excerpts of logs, and what each of them shows."""

from __future__ import annotations

import tomllib
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

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
    """What is so, and is found."""
    missed: Counter[Key]
    """What is so, and is not found: nothing in the log tells."""
    wrong: Counter[Key]
    """What is found, and is not so."""
    uncertain: frozenset[Key]
    """Of what is found that of which the log shows too little to be sure."""
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
            _counted(table["findings"]),
            _counted(table.get("missed", [])),
            _counted(table.get("wrong", [])),
            frozenset(_key(finding) for finding in _found(table) if not finding.get("certain", True)),
            table["unrelated"],
        )
        for name, table in tables.items()
    )


def _found(table: dict[str, Any]) -> list[dict[str, Any]]:
    return [*table["findings"], *table.get("wrong", [])]


def _counted(findings: list[dict[str, Any]]) -> Counter[Key]:
    return Counter({_key(finding): finding["count"] for finding in findings})


def _key(finding: dict[str, Any]) -> Key:
    return finding["cause"], finding.get("route")


EXCERPTS = _excerpts()
