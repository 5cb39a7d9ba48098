"""The page of `explain`."""

from __future__ import annotations

from tests.diagnose.logs.reference import PAGE, START, page


def test_the_page_of_the_scores_is_current() -> None:
    """docs/reference/explain.md has the scores of today; `python -m tests.diagnose.logs.reference` writes them."""
    text = PAGE.read_text(encoding="utf-8")
    assert START in text
    assert text == page(text)
