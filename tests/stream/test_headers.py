"""The headers of an event stream, as a guard finds and leaves them."""

from __future__ import annotations

import pytest

from unbroken.stream.headers import corrected, is_encoded, is_event_stream, without_encodings

pytestmark = pytest.mark.core

SSE = (b"content-type", b"text/event-stream")


@pytest.mark.parametrize(
    "value",
    [
        b"text/event-stream",
        b"text/event-stream; charset=utf-8",
        b"TEXT/Event-Stream;charset=UTF-8",
        b" text/event-stream ; x=y",
        b"text/event-stream;",
    ],
)
@pytest.mark.parametrize("name", [b"content-type", b"Content-Type"])
def test_an_event_stream_is_recognised_by_its_type_alone(name: bytes, value: bytes) -> None:
    """Neither case nor parameters matter, nor what other headers there are."""
    assert is_event_stream([(b"x", b"y"), (name, value)])


@pytest.mark.parametrize(
    "value",
    [
        b"text/plain",
        b"application/json",
        b"text/event-streams",
        b"text/event-stream2",
        b"",
        b"text/plain; text/event-stream",
    ],
)
def test_nothing_else_is_an_event_stream(value: bytes) -> None:
    """A type that only begins alike, or names it in a parameter, is another one."""
    assert not is_event_stream([(b"content-type", value), (b"x", b"text/event-stream")])
    assert not is_event_stream([])


def test_a_compressed_body_is_recognised() -> None:
    """`identity` is no compression."""
    assert is_encoded([SSE, (b"Content-Encoding", b"GZIP")])
    assert not is_encoded([SSE, (b"content-encoding", b"Identity")])
    assert not is_encoded([SSE])


def test_a_length_that_heartbeats_would_break_is_dropped() -> None:
    """Names come out in lower case, as ASGI wants them; order and repetition of others stay."""
    headers = [SSE, (b"Content-Length", b"12"), (b"Set-Cookie", b"a=1"), (b"Set-Cookie", b"b=2")]
    assert corrected(headers, "1.1") == [
        SSE,
        (b"set-cookie", b"a=1"),
        (b"set-cookie", b"b=2"),
        (b"cache-control", b"no-store, no-transform"),
        (b"x-accel-buffering", b"no"),
    ]


@pytest.mark.parametrize(
    ("given", "left"),
    [
        ([], b"no-store, no-transform"),
        ([b"no-cache"], b"no-cache, no-transform"),
        ([b"No-Transform, private"], b"No-Transform, private"),
        ([b"no-cache", b"private"], b"no-cache, private, no-transform"),
    ],
)
def test_no_transform_is_added_to_what_the_application_said_of_caching(given: list[bytes], left: bytes) -> None:
    """Nothing that it said is lost, in however many headers it said it."""
    headers = corrected([SSE, *((b"Cache-Control", value) for value in given)], "1.1")
    assert [value for name, value in headers if name == b"cache-control"] == [left]


def test_the_application_may_ask_for_buffering() -> None:
    """What it said of `X-Accel-Buffering` stays."""
    headers = corrected([SSE, (b"X-Accel-Buffering", b"yes")], "1.1")
    assert [value for name, value in headers if name == b"x-accel-buffering"] == [b"yes"]


@pytest.mark.parametrize(
    ("version", "kept"), [("1.0", True), ("1.1", True), ("2", False), ("2.0", False), ("3", False)]
)
def test_headers_of_the_connection_leave_http_1_only(version: str, kept: bool) -> None:
    """HTTP/2 forbids them, and WebKit drops a stream that has one."""
    names = (b"connection", b"Keep-Alive", b"proxy-connection", b"transfer-encoding", b"upgrade")
    headers = dict(corrected([SSE, *((name, b"x") for name in names)], version))
    assert {name.lower() in headers for name in names} == {kept}


def test_encodings_are_hidden_from_requests_for_event_streams_only() -> None:
    """Other responses may be compressed; other headers stay."""
    asked = [(b"accept", b"text/html, text/event-stream"), (b"accept-encoding", b"gzip"), (b"x", b"y")]
    assert without_encodings(asked) == [asked[0], asked[2]]
    assert without_encodings([(b"accept", b"*/*"), (b"accept-encoding", b"gzip")]) is None
