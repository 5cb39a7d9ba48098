from __future__ import annotations

import ast
from pathlib import Path

import pytest

from tests.diagnose.source.expectations import SOURCES, broken, expected, found
from tests.diagnose.source.scores import Score, scores, table
from unbroken.diagnose.source.rules import RULES


@pytest.mark.parametrize("path", SOURCES, ids=[path.stem for path in SOURCES])
def test_each_source_has_the_findings_that_it_says_and_no_other(path: Path) -> None:
    """In every source of the corpus `check` finds what is broken, at its line, and nothing else."""
    assert found(path) == expected(path)


def test_the_corpus_is_large_enough_and_has_its_right_ones() -> None:
    """There are at least 80 sources, and at least 25 that are right although they come near a rule."""
    right = [path for path in SOURCES if path.stem.endswith("_right")]
    assert len(SOURCES) >= 80
    assert len(right) >= 25
    assert [path.stem for path in right if expected(path) or broken(path)] == []


def test_every_source_says_what_it_is() -> None:
    """A source has a docstring of one line, and an application."""
    for path in SOURCES:
        tree = ast.parse(path.read_text(encoding="utf-8"))
        text = ast.get_docstring(tree)
        assert text is not None, path.stem
        assert "\n" not in text, path.stem
        names = {
            target.id
            for node in tree.body
            if isinstance(node, ast.Assign)
            for target in node.targets
            if isinstance(target, ast.Name)
        }
        assert "app" in names, path.stem


def test_every_rule_is_put_to_the_test() -> None:
    """No rule without a source in which it finds something."""
    codes = {code for path in SOURCES for _, code in broken(path)}
    assert codes == {rule.code for rule in RULES}


def test_the_scores_count_what_is_false_and_what_is_missed() -> None:
    """Precision falls with false findings, recall with missed ones."""
    score = Score("SSE001", "import-does-not-exist", right=3, false=1, missed=2)
    assert (score.precision, score.recall) == (0.75, 0.6)


def test_the_table_has_a_row_for_every_rule() -> None:
    """The table of scores has all rules, with what they found."""
    assert [score.code for score in scores()] == [rule.code for rule in RULES]
    lines = table().splitlines()
    assert len(lines) == 4 + len(RULES)
    assert all(rule.name in line for rule, line in zip(RULES, lines[4:], strict=True))
