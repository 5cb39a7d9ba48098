"""The signatures, as data that pages and people search."""

from __future__ import annotations

import pytest

from tests.diagnose.logs.corpus import EXCERPTS
from unbroken.diagnose.causes import CATALOGUE
from unbroken.diagnose.logs.lines import parse_line
from unbroken.diagnose.logs.screen import ANCHORS
from unbroken.diagnose.logs.signature import Signature
from unbroken.diagnose.logs.signatures import LINES, RAISED, SIGNATURES
from unbroken.diagnose.logs.tracebacks import BOX_PREFIX
from unbroken.diagnose.logs.tracebacks import RAISED as EXCEPTION

RAW = [line for excerpt in EXCERPTS for line in excerpt.path.read_bytes().splitlines()]


def _id(signature: Signature) -> str:
    return f"{signature.source}: {signature.text[:40]}"


@pytest.mark.parametrize("signature", LINES, ids=_id)
def test_each_signature_of_a_line_is_in_the_corpus_and_found_by_the_screen(signature: Signature) -> None:
    """A signature without an anchor would never be looked at, one without an excerpt is not known to be real."""
    fitting = [raw for raw in RAW if signature.pattern.search(parse_line(raw).text)]
    assert fitting
    assert all(any(anchor in raw for anchor in ANCHORS) for raw in fitting)


@pytest.mark.parametrize("signature", RAISED, ids=_id)
def test_each_signature_of_an_exception_is_in_the_corpus(signature: Signature) -> None:
    """Each exception that is known was seen in a log."""
    texts = [BOX_PREFIX.sub("", parse_line(raw).text) for raw in RAW]
    raised = [f"{found[1]}: {found[2] or ''}" for text in texts if (found := EXCEPTION.match(text))]
    assert any(signature.pattern.search(text) for text in raised)


def test_a_signature_says_what_people_search_for() -> None:
    """Each has a text and a source, and no text is there twice for one cause."""
    assert all(signature.text.strip() == signature.text != "" for signature in SIGNATURES)
    assert all(signature.source for signature in SIGNATURES)
    keys = [(signature.cause, signature.text) for signature in SIGNATURES]
    assert len(set(keys)) == len(keys)


def test_every_cause_is_in_the_catalogue() -> None:
    """What is found can be looked up."""
    assert {signature.cause for signature in SIGNATURES} <= {cause.id for cause in CATALOGUE}
