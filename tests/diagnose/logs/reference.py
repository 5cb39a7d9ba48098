"""The part of docs/reference/explain.md that says how often it is right: `python -m tests.diagnose.logs.reference`."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from tests.diagnose.logs.scores import table

__all__ = ["PAGE", "page"]

PAGE: Final = Path(__file__).parents[3] / "docs" / "reference" / "explain.md"
START: Final = "<!-- from here on written by `python -m tests.diagnose.logs.reference` -->"


def page(head: str) -> str:
    """Return the whole page: what stands above the mark, and below it the scores."""
    return f"{head.partition(START)[0]}{START}\n\n{table()}\n"


if __name__ == "__main__":
    PAGE.write_text(page(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
