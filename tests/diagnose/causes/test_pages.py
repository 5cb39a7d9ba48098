"""The pages of the causes say what the catalogue says."""

from __future__ import annotations

from pathlib import Path

import pytest

from unbroken.diagnose import CATALOGUE
from unbroken.diagnose.endpoint.checks import CHECKS
from unbroken.diagnose.logs.signatures import SIGNATURES
from unbroken.diagnose.pages import INDEX, pages, write_pages
from unbroken.diagnose.source.rules import RULES

DOCS = Path(__file__).resolve().parents[3] / "docs" / "causes"
HOW = "write them anew: python -m unbroken.diagnose.pages docs/causes"


@pytest.mark.parametrize("name", sorted(pages()))
def test_page_is_up_to_date(name: str) -> None:
    """Each page in the documentation is what the catalogue, the signatures, the rules and the checks give now."""
    page = DOCS / name
    assert page.exists(), f"{name} is missing; {HOW}"
    assert page.read_text(encoding="utf-8") == pages()[name], f"{name} is stale; {HOW}"


def test_there_are_no_other_pages() -> None:
    """No page is left of a cause that is no more."""
    assert {page.name for page in DOCS.glob("*.md")} == set(pages()), HOW


def test_index_leads_to_every_cause() -> None:
    """Whoever has no id finds the page by its title."""
    assert [line for cause in CATALOGUE if f"]({cause.id}.md)" not in (line := pages()[INDEX])] == []


def test_what_finds_a_cause_stands_on_its_page() -> None:
    """Signatures, rules and checks name causes of the catalogue, and each is told of where its cause is."""
    named = {
        *((signature.cause, signature.source) for signature in SIGNATURES),
        *((rule.cause, rule.code) for rule in RULES),
        *((cause, check.name) for check in CHECKS for cause in check.causes),
    }
    assert {cause for cause, _ in named} <= {cause.id for cause in CATALOGUE}
    assert [(cause, what) for cause, what in named if f"| {what} " not in pages()[f"{cause}.md"]] == []


def test_stale_pages_are_removed(tmp_path: Path) -> None:
    """Writing into a directory leaves the pages of today there, and no others."""
    (tmp_path / "of-yesterday.md").write_text("")
    write_pages(tmp_path)
    assert {page.name for page in tmp_path.iterdir()} == set(pages())


def test_no_page_has_code_that_the_documentation_runs() -> None:
    """Broken code stands in fences that the test of the documentation does not execute."""
    assert [name for name, page in pages().items() if "```python" in page] == []
