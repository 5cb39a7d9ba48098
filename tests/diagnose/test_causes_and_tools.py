"""The catalogue and the tools fit together."""

from __future__ import annotations

from unbroken.diagnose import CATALOGUE
from unbroken.diagnose.endpoint import CHECKS
from unbroken.diagnose.logs import SIGNATURES
from unbroken.diagnose.source.rules import RULES

FOUND = {
    *(rule.cause for rule in RULES),
    *(cause for check in CHECKS for cause in check.causes),
    *(signature.cause for signature in SIGNATURES),
}


def test_what_a_tool_names_is_in_the_catalogue() -> None:
    """A finding never leads to a page that is not there."""
    assert FOUND - {cause.id for cause in CATALOGUE} == set()


def test_every_cause_can_be_found() -> None:
    """Each cause of the catalogue is looked for by one tool at least."""
    assert {cause.id for cause in CATALOGUE} - FOUND == set()
