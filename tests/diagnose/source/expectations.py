"""What the corpus says is to be found in it."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path
from typing import Final

from unbroken.diagnose.source import check_text

__all__ = ["SOURCES", "Place", "broken", "expected", "found"]

CORPUS: Final = Path(__file__).parent / "corpus"
SOURCES: Final = tuple(sorted(path for path in CORPUS.glob("*.py") if path.stem not in {"__init__", "support"}))
SAID: Final = re.compile(r"# (expect|missed|false): (SSE\d{3}(?:, SSE\d{3})*)$")

Place = tuple[int, str]
"""A line, and the code of what is found there."""


def said(path: Path, *words: str) -> list[Place]:
    """Return the places of which a source says one of `words` in a trailing comment.

    `expect`: broken, and found. `missed`: broken, and not found, as the rule's limits say. `false`: right, and found.
    """
    lines = enumerate(path.read_text(encoding="utf-8").splitlines(), 1)
    places = [(number, match[2]) for number, line in lines if (match := SAID.search(line)) and match[1] in words]
    return sorted((number, code) for number, codes in places for code in codes.split(", "))


def expected(path: Path) -> list[Place]:
    """Return what `check` has to find, the known false alarms included."""
    return said(path, "expect", "false")


def broken(path: Path) -> list[Place]:
    """Return what is broken, whether it is found or not."""
    return said(path, "expect", "missed")


@cache
def found(path: Path) -> list[Place]:
    """Return what `check` finds in a source."""
    findings = check_text(path.read_text(encoding="utf-8"), path=path.name)
    return sorted((finding.line, finding.code) for finding in findings)
