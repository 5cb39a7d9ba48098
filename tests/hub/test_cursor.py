"""Cursors over several topics; what holds for all of them is in tests/properties."""

from __future__ import annotations

import base64

import pytest

from unbroken.hub.cursor import MAX_CURSOR_CHARS, MAX_TOPICS, digest_of, pack, read_cursor, write_cursor
from unbroken.logs import Position

HERE = Position("0123456789ab", 41, "00ff00ff")


def test_a_position_is_the_cursor_of_one_topic() -> None:
    """What stands in an event's id is read as it is."""
    assert read_cursor(str(HERE), b"") == HERE


def test_a_composite_cursor_has_a_version() -> None:
    """A later one may say more."""
    text = write_cursor([pack(digest_of("a"), HERE)], b"")
    assert text.startswith("v1.")
    assert read_cursor("v2." + text[3:], b"") is None
    assert set(text[3:]) <= set("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_")


def test_a_full_cursor_fits_into_a_header() -> None:
    """32 topics with the longest tokens that logs make stay well within the bound, which refuses what is longer."""
    parts = [pack(digest_of(f"topic {number}"), Position("f" * 12, 2**40, "f" * 8)) for number in range(MAX_TOPICS)]
    text = write_cursor(parts, b"")
    assert len(text) < 1400
    assert len(text) < MAX_CURSOR_CHARS
    assert read_cursor(text, b"") is not None
    assert read_cursor("v1." + "A" * MAX_CURSOR_CHARS, b"") is None


@pytest.mark.parametrize(
    "text",
    [
        "", "v1.", "v1", "v1.=", "v1.AAAA", "v1.AAAAAAAAAAA", "v1." + "A" * 40, "v1.\0", "v1.\ud800", "v1.ü",
        "latest", "earliest", "null", "0", "a.b.c", "ab.1", "ab.1.", "ab.0.cd", "AB.1.cd", "ab.01.cd", "ab.-1.cd",
        "ab.1.cd ", " ab.1.cd", "ab.1.cd\n", "ab.\u0661.cd", "ab.9223372036854775808.cd", "abc.1.cd",
        "x" * 1_000_000,
    ],
)  # fmt: skip
def test_anything_else_is_no_cursor(text: str) -> None:
    """Whatever a client sends, the answer is None."""
    assert read_cursor(text, b"") is None


def test_a_seal_alone_does_not_make_a_cursor() -> None:
    """Somebody who knows how it is made still has to say something that can be read."""
    for body in (b"", b"x", bytes(7), digest_of("t") + b"\x64\x01", digest_of("t") + b"\x64\xff" + bytes(40)):
        assert read_cursor(write_cursor([body], b""), b"") is None


def test_more_topics_than_a_connection_has_are_no_cursor() -> None:
    """33 parts are refused, though sealed."""
    parts = [pack(digest_of(f"{number}"), Position("ab", 1, "cd")) for number in range(MAX_TOPICS + 1)]
    assert len(write_cursor(parts, b"")) < MAX_CURSOR_CHARS
    assert read_cursor(write_cursor(parts, b""), b"") is None


def test_a_cursor_of_another_key_is_none() -> None:
    """With a secret only a cursor that was signed with it is read; without one a signed cursor is none either."""
    parts = [pack(digest_of("a"), HERE), pack(digest_of("b"), HERE)]
    text = write_cursor(parts, b"k" * 32)
    assert read_cursor(text, b"k" * 32) == {digest_of("a"): HERE, digest_of("b"): HERE}
    assert read_cursor(text, b"l" * 32) is None
    assert read_cursor(text, b"") is None
    assert read_cursor(write_cursor(parts, b""), b"k" * 32) is None


def test_a_number_beyond_an_engine_is_held_to_the_largest() -> None:
    """A sealed cursor may say what no log can hold: it is a position that is ahead of every topic."""
    part = digest_of("a") + bytes((1 << 4 | 1, 9)) + b"\xaa" + b"\xff" * 9 + b"\xbb"
    assert read_cursor(write_cursor([part], b""), b"") == {digest_of("a"): Position("aa", 2**63 - 1, "bb")}


def test_the_digest_of_a_name_is_short_and_steady() -> None:
    """It stands in cursors that outlive the process."""
    assert base64.b16encode(digest_of("orders:42")) == base64.b16encode(digest_of("orders:42"))
    assert len(digest_of("x" * 256)) == 6
    assert digest_of("orders:42") != digest_of("orders:43")
