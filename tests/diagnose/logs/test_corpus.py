"""What the tool says of logs as they really look."""

from __future__ import annotations

import pytest

from tests.diagnose.logs.corpus import EXCERPTS, FOLDER, Excerpt, shown
from tests.diagnose.logs.scores import scores


@pytest.mark.parametrize("excerpt", EXCERPTS, ids=lambda excerpt: excerpt.name)
def test_an_excerpt_shows_what_it_shows(excerpt: Excerpt) -> None:
    """Each excerpt gives its findings, by cause, route and count, says which are sure, and counts its look-alikes."""
    explanation = excerpt.explain()
    assert shown(explanation) == excerpt.findings + excerpt.wrong
    assert {(one.cause, one.route) for one in explanation.findings if not one.certain} == excerpt.uncertain
    assert explanation.unrelated == excerpt.unrelated
    assert explanation.dropped == {}


def test_every_finding_has_its_evidence() -> None:
    """A finding names lines of the log it is in, each of them once."""
    for excerpt in EXCERPTS:
        lines = excerpt.path.read_bytes().count(b"\n")
        for finding in excerpt.explain().findings:
            assert 1 <= len(finding.evidence) <= 5
            assert len({evidence.line for evidence in finding.evidence}) == len(finding.evidence)
            assert all(1 <= evidence.line <= lines for evidence in finding.evidence)


def test_every_excerpt_has_its_expectation() -> None:
    """No file lies in the corpus unread, and it is as large as was promised."""
    assert {path.name for path in FOLDER.glob("*.log")} == {excerpt.name for excerpt in EXCERPTS}
    assert sum(bool(excerpt.findings) for excerpt in EXCERPTS) >= 40
    assert sum(not excerpt.findings for excerpt in EXCERPTS) >= 20


def test_what_is_known_to_fail_is_not_found_elsewhere() -> None:
    """An excerpt's shortcomings are no findings of it, and are few."""
    assert all(not (excerpt.missed.keys() | excerpt.wrong.keys()) & excerpt.findings.keys() for excerpt in EXCERPTS)
    assert sum(len(excerpt.wrong) for excerpt in EXCERPTS) <= 2


def test_the_scores_are_those_of_the_corpus() -> None:
    """The table counts what is found, missed and wrong as the expectations have it."""
    *_, whole = scores()
    assert whole.right == sum(len(excerpt.findings) for excerpt in EXCERPTS)
    assert whole.missed == sum(len(excerpt.missed) for excerpt in EXCERPTS)
    assert whole.wrong == sum(len(excerpt.wrong) for excerpt in EXCERPTS)
