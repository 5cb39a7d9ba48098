"""The reader who forgives nothing."""

from __future__ import annotations

import pytest

from tests.diagnose.endpoint.endpoints import WRONG
from unbroken.diagnose.endpoint.flaws import FLAWS, Flaw
from unbroken.diagnose.endpoint.framing import FramingChecker

EXPECTED: dict[str, set[Flaw]] = {
    "a field within a field": {Flaw.FRAMED_TWICE},
    "a frame as JSON": {Flaw.FRAME_AS_JSON},
    "no blank line at all": {Flaw.UNENDED},
    "no blank line at the end": {Flaw.UNENDED},
    "no blank line between": {Flaw.REPEATED_FIELD},
    "documents in one event": {Flaw.SEVERAL_DOCUMENTS},
    "a capital": {Flaw.MISSPELT_FIELD},
    "a space before": {Flaw.MISSPELT_FIELD},
    "a space behind": {Flaw.MISSPELT_FIELD},
    "an unknown field": {Flaw.UNKNOWN_FIELD},
    "a text of two lines": {Flaw.STRAY_TEXT},
    "a byte order mark": {Flaw.BOM_WITHIN},
    "a NUL": {Flaw.NUL_IN_ID},
    "words for retry": {Flaw.BAD_RETRY},
    "latin-1": {Flaw.INVALID_UTF8},
    "no data": {Flaw.NO_DATA},
    "a written line end": {Flaw.ESCAPED_LINE_END},
    "Python": {Flaw.PYTHON_REPR},
    "mixed ends": {Flaw.MIXED_LINE_ENDS},
    "CR alone": {Flaw.LONE_CR},
    "HTML": {Flaw.OTHER_BODY},
    "JSON": {Flaw.OTHER_BODY},
    "a huge line": {Flaw.HUGE_LINE},
}

RIGHT = (
    b"data: 1\n\ndata: 2\n\n",
    b"data: 1\r\n\r\ndata: 2\r\n\r\n",
    b"\xef\xbb\xbfdata: 1\n\n",
    b": a comment\n\ndata\n\n",
    b"id: 7\nevent: tick\nretry: 3000\ndata: one\ndata: two\n\n",
    b"id: 7\n\n",
    b"id\ndata: 1\n\n",
    b"retry: 10\n\n",
    b"data: [DONE]\n\n",
    b"data: data:image/png;base64,AAAA\n\n",
    b"data: {\ndata: }\n\n",
    b'data: {"text": "a\\n\\nb"}\n\n',
    "data: caf\u00e9 \u2028 \U0001f600\n\n".encode(),
    b"data: " + b"x" * 200_000 + b"\n\n",
    b"",
)


def checked(body: bytes, step: int, *, complete: bool = True) -> FramingChecker:
    """Feed a body in pieces."""
    checker = FramingChecker()
    for start in range(0, len(body), step):
        checker.feed(body[start : start + step])
    checker.finish(complete=complete)
    return checker


def test_each_wrong_body_has_an_expectation() -> None:
    """The table below the tests and the one of the endpoints name the same bodies."""
    assert EXPECTED.keys() == WRONG.keys()


@pytest.mark.parametrize("step", [1, 3, 10_000_000])
@pytest.mark.parametrize("name", list(EXPECTED))
def test_a_flaw_is_found_however_the_bytes_are_cut(name: str, step: int) -> None:
    """Each wrong body gives exactly its own flaw."""
    if len(WRONG[name]) > 100_000:
        step *= 20_000
    assert checked(WRONG[name], step).remarks.keys() == EXPECTED[name]


@pytest.mark.parametrize("step", [1, 3, 10_000_000])
@pytest.mark.parametrize("body", RIGHT, ids=lambda body: repr(body[:20]))
def test_what_is_right_raises_no_alarm(body: bytes, step: int) -> None:
    """What the standard allows and people send has no flaw."""
    if len(body) > 100_000:
        step *= 20_000
    assert checked(body, step).remarks == {}


def test_a_remark_says_where_and_how_often() -> None:
    """The first place of a flaw is its line's first byte, and further ones are counted."""
    [remark] = checked(b"data: 1\r\n\r\nData: 2\r\nDATA: 3\r\n\r\n", 4).remarks.values()
    assert (remark.offset, remark.count, remark.excerpt) == (11, 2, b"Data: 2")


def test_an_offset_counts_what_was_not_kept() -> None:
    """A line that is too long to be kept does not move the places behind it."""
    body = b"data: " + b"x" * 3_000_000 + b"\n\nData: 1\n\n"
    remarks = checked(body, 65_536).remarks
    assert remarks[Flaw.MISSPELT_FIELD].offset == body.index(b"Data")


def test_a_stream_that_was_left_open_may_be_within_an_event() -> None:
    """What is not complete is no flaw of a body that we left; that no event was ever ended is one."""
    assert checked(b"data: 1\n\ndata: 2\n", 100, complete=False).remarks == {}
    assert checked(b"data: 1\ndata: 2\n", 100, complete=False).remarks.keys() == {Flaw.NEVER_ENDED}


@pytest.mark.parametrize(
    ("body", "inside"),
    [
        (b"", False),
        (b"data: 1\n", True),
        (b"data: 1\n\n", False),
        (b"data: 1\r\n\r\n", False),
        (b"data: 1\r\r", False),
        (b"data: 1\n\nda", True),
        (b": comment\n", False),
    ],
)
def test_it_knows_whether_it_stands_within_an_event(body: bytes, inside: bool) -> None:
    """Blocks that a buffer cut are told by that."""
    checker = FramingChecker()
    checker.feed(body)
    assert checker.inside_event is inside


def test_ids_are_kept_as_sent() -> None:
    """Each `id` field is one, the same again and the empty one too."""
    assert checked(b"id: 1\ndata: a\n\nid: 1\ndata: b\n\nid:\ndata: c\n\n", 2).ids == [b"1", b"1", b""]


def test_each_flaw_can_be_explained() -> None:
    """No flaw is without what it means and how it is mended."""
    assert FLAWS.keys() == set(Flaw)
    assert all(info.means and info.fix for info in FLAWS.values())


@pytest.mark.parametrize(
    ("body", "flaw", "is_cut"),
    [
        (b"Data: 2\n\n", Flaw.MISSPELT_FIELD, False),
        (b"Data: " + b"x" * 300 + b"\n\n", Flaw.MISSPELT_FIELD, True),
        (b'{"error": "no', Flaw.OTHER_BODY, True),
        (b"data: 1\n\ndata: 2", Flaw.UNENDED, True),
        (b"data: 1\n\ndata: 2\n", Flaw.UNENDED, False),
    ],
)
def test_an_excerpt_knows_whether_it_is_cut(body: bytes, flaw: Flaw, is_cut: bool) -> None:
    """Only there half a secret may stand at its end."""
    assert checked(body, len(body)).remarks[flaw].is_cut == is_cut
