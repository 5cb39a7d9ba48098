"""What a line may cost: its text is chosen by whoever sends the request."""

from __future__ import annotations

import io
import re
from time import process_time
from typing import Any

import pytest

from tests.diagnose.logs.hostile import hostile, patterns
from unbroken.diagnose.logs import explain
from unbroken.diagnose.logs.screen import WORDS
from unbroken.diagnose.logs.signatures import SIGNATURES
from unbroken.diagnose.logs.sources import LONGEST_LINE

PATTERNS = patterns()
LIMIT = 1.0
"""Seconds of CPU for one line. What grows with the line takes milliseconds; with its square, seconds."""
ANCHORED = ("reading.INDENTED",)
"""Only ever matched at a line's beginning."""


def _seconds(pattern: re.Pattern[Any], text: str, *, anchored: bool) -> float:
    begun = process_time()
    data = text.encode() if isinstance(pattern.pattern, bytes) else text
    (pattern.match if anchored else pattern.search)(data)
    return process_time() - begun


@pytest.mark.parametrize("name", PATTERNS)
def test_no_pattern_is_slow_on_the_longest_line(name: str) -> None:
    """Whatever a line of 64 KiB repeats of what a pattern looks for, looking takes less than a second."""
    for text in hostile(PATTERNS[name], LONGEST_LINE):
        spent = _seconds(PATTERNS[name], text, anchored=name in ANCHORED)
        assert spent < LIMIT, f"{spent:.1f} s: {text[:100]!r}"


def test_every_pattern_is_there() -> None:
    """The patterns are found where they are: in constants, in tuples, and in signatures."""
    assert {"routes.REQUEST", "lines.PREFIXES[0]", "reading.INDENTED"} <= set(PATTERNS)
    assert {signature.pattern for signature in SIGNATURES} <= set(PATTERNS.values())


@pytest.mark.parametrize(
    "text",
    [
        "x after " + "Expected response Content-Type " * 2000,
        "refused, " + "A" * 60_000,
        "after " + "Executing <" * 5500,
        "2026-11-22T12:00:00Z " + "/" * 60_000 + " after ",
        '1.2.3.4 - - "GET /events HTTP/1.1" 200 ' + "1" * 60_000,
        'x "GET /events HTTP/1.1" 200 5 "-" "-" ' + "1" * 60_000,
        f'Traceback (most recent call last):\n  File "{"site-packages/" * 4500}", line 1, in f\nValueError: x',
    ],
)
def test_a_hostile_line_is_read_at_once(text: str) -> None:
    """A line made to be slow, or to hold a number that Python refuses, is read like any other."""
    begun = process_time()
    explanation = explain([io.BytesIO(f"-\n{text}\n-\n".encode())])
    assert process_time() - begun < 2 * LIMIT
    assert explanation.lines == text.count("\n") + 3


def test_a_line_of_every_word_is_read_at_once() -> None:
    """A line that is looked at for every reason there is costs no more than a second."""
    words = " ".join(WORDS)
    data = f"-{words * (LONGEST_LINE // len(words))}\n".encode()
    begun = process_time()
    explain([io.BytesIO(data)])
    assert process_time() - begun < LIMIT
