from __future__ import annotations

from tests.diagnose.source.reference import PAGE, page
from unbroken.diagnose.source.rules import RULES


def test_the_page_of_the_rules_is_current() -> None:
    """docs/reference/check.md says what the rules say; `python -m tests.diagnose.source.reference` writes it."""
    text = PAGE.read_text(encoding="utf-8")
    assert text == page(text)


def test_the_page_leads_to_causes_that_have_a_page() -> None:
    """Every rule's link leads to a page that is there."""
    for rule in RULES:
        assert (PAGE.parent.parent / "causes" / f"{rule.cause}.md").is_file(), rule.cause
