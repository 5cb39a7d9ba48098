"""Clients' texts in log lines."""

from __future__ import annotations

import pytest

from unbroken.observe.text import printable


@pytest.mark.parametrize("text", ["", "/events", "/a b", "/ü/日本", "/a\\n", "192.0.2.1:5000"])
def test_an_ordinary_text_stays_as_it_is(text: str) -> None:
    """Of any script."""
    assert printable(text) == text


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("/1\r\nERROR root: forged", "/1\\r\\nERROR root: forged"),
        ("\x00\x1b[31m\x7f", "\\x00\\x1b[31m\\x7f"),
        ("\x0b\x0c\x1c\x85\x9b", "\\x0b\\x0c\\x1c\\x85\\x9b"),
        ("\u2028\u2029", "\\u2028\\u2029"),
        ("\u202e\u2066", "\\u202e\\u2066"),
        ("\ud800/\udcff", "\\ud800/\\udcff"),
    ],
    ids=["line ends", "C0", "C1", "separators", "directions", "surrogates"],
)
def test_what_would_change_the_log_is_escaped(text: str, shown: str) -> None:
    """It makes no second line, commands no terminal, and can be encoded."""
    assert printable(text) == shown
    assert printable(text).splitlines() == [shown]
    assert shown.encode()


@pytest.mark.parametrize("character", ["x", "\n", "\U000e0001"])
def test_a_long_text_is_cut(character: str) -> None:
    """Also one that grows by its escapes; the ellipsis tells of it."""
    shown = printable(character * 60_000)
    assert len(shown) == 500
    assert shown.endswith("…")


@pytest.mark.parametrize(
    ("text", "shown"), [("12345", "12345"), ("123456", "1234…"), ("123\n", "123\\n"), ("1234\n", "1234…")]
)
def test_the_limit_is_that_of_the_result(text: str, shown: str) -> None:
    """A text of just the limit is whole."""
    assert printable(text, limit=5) == shown
