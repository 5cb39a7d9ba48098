"""What an answer means before its body."""

from __future__ import annotations

import email.utils
import time

import pytest

from unbroken.client.answer import Answer, refusal_of


@pytest.mark.parametrize(
    "content_type",
    [
        "text/event-stream",
        "Text/Event-Stream; charset=latin-1",
        " text/event-stream ;charset=utf-8",
        "text/event-stream;",
    ],
)
def test_a_stream_is_known_by_its_type(content_type: str) -> None:
    """WHATWG 9.2.3 looks at the type alone; a charset means nothing."""
    assert Answer(200, {"content-type": content_type}).is_stream


@pytest.mark.parametrize(
    ("status", "content_type"),
    [
        (200, "text/html"),
        (200, ""),
        (200, "text/event-streams"),
        (201, "text/event-stream"),
        (204, "text/event-stream"),
    ],
)
def test_nothing_else_is_a_stream(status: int, content_type: str) -> None:
    """Another type, or another status, is none."""
    assert not Answer(status, {"content-type": content_type}).is_stream


@pytest.mark.parametrize(
    ("answer", "body", "said"),
    [
        (Answer(404, {}), b'{"detail":\n "Not Found"}', ["404", "Not Found"]),
        (Answer(200, {"content-type": "text/html"}), b"<p>", ["'text/html'", "<p>"]),
        (Answer(200, {}), b"", ["(none)"]),
        (Answer(302, {"location": "/login"}), b"", ["302"]),
        (Answer(500, {}), b"\xff\x00" * 1000, ["500"]),
    ],
    ids=["status", "type", "no type", "redirect", "bytes"],
)
def test_a_refusal_says_what_came(answer: Answer, body: bytes, said: list[str]) -> None:
    """Status, type and the body's beginning are in the text, within bounds; the whole is in the error."""
    error = refusal_of(answer, body, "http://example.com/")
    assert all(text in str(error) for text in ["http://example.com/", *said])
    assert len(str(error)) < 1500
    assert (error.status, error.headers, error.body) == (answer.status, answer.headers, body)


def retry_after(value: str) -> float:
    """Return the seconds that an error has for a header."""
    return refusal_of(Answer(503, {"retry-after": value}), b"", "").retry_after


def test_retry_after_is_seconds_or_a_date() -> None:
    """RFC 9110, 10.2.3; a date that has passed is now."""
    assert retry_after(" 120 ") == 120
    assert 0 < retry_after(email.utils.formatdate(time.time() + 1000, usegmt=True)) <= 1000
    assert retry_after(email.utils.formatdate(0, usegmt=True)) == 0


@pytest.mark.parametrize("value", ["", "-5", "1.5", "soon", "٣", "Fri, 99 Foo 9999 99:99:99 GMT", "9" * 400])
def test_another_retry_after_is_none(value: str) -> None:
    """What is neither is no error; a number of any length is a number."""
    assert retry_after(value) == (float("9" * 20) if value.startswith("9") else 0)
