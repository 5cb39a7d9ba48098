"""The part of docs/reference/check.md that says the rules: `python -m tests.diagnose.source.reference` writes it."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from tests.diagnose.source.scores import table
from unbroken.diagnose.source.rules import RULES, Rule

__all__ = ["PAGE", "page"]

PAGE: Final = Path(__file__).parents[3] / "docs" / "reference" / "check.md"
START: Final = "<!-- from here on written by `python -m tests.diagnose.source.reference` -->"


def page(head: str) -> str:
    """Return the whole page: what stands above the mark, and below it the rules and their scores."""
    above = head.partition(START)[0]
    sections = "\n".join(map(_section, RULES))
    return f"{above}{START}\n\n{_index()}\n\n{sections}\n## On the corpus\n\n{table()}\n"


def _index() -> str:
    rows = (f"| [{rule.code}](#{_anchor(rule)}) | {rule.summary} | {'yes' if rule.fixable else ''} |" for rule in RULES)
    return "\n".join(["## The rules", "", "| code | finds | `fix` |", "|---|---|---|", *rows])


def _anchor(rule: Rule) -> str:
    return f"{rule.code.lower()}-{rule.name}"


def _section(rule: Rule) -> str:
    fix = " `unbroken fix` mends the plain case." if rule.fixable else ""
    return (
        f"### {rule.code} {rule.name}\n\n"
        f"{rule.summary}. Why, and what to do: [{rule.cause}](../causes/{rule.cause}.md).{fix}\n\n{rule.limits}\n"
    )


if __name__ == "__main__":
    PAGE.write_text(page(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
