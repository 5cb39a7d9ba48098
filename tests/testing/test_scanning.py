from __future__ import annotations

import pytest

from unbroken.testing.scanning import EventScanner

pytestmark = pytest.mark.core

UNTIL_CLOSE = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\n"
CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"


def chunk(data: bytes) -> bytes:
    """One chunk of a chunked body."""
    return b"%x\r\n%b\r\n" % (len(data), data)


def ends_of(stream: bytes, cut: int) -> list[int]:
    """The ends of events in a stream that comes in pieces of `cut` bytes."""
    scanner, ends = EventScanner(), list[int]()
    for start in range(0, len(stream), cut):
        ends += [start + end for end in scanner.feed(stream[start : start + cut])]
    return ends


def behind(stream: bytes, *marks: bytes) -> list[int]:
    """The offsets just behind each of these marks."""
    return [stream.index(mark) + len(mark) for mark in marks]


WITHOUT_EVENTS = [
    pytest.param(b"no HTTP at all\n\ndata: a\n\n", id="no-http"),
    pytest.param(UNTIL_CLOSE + b": keep-alive\n\nid: 1\n\nretry: 5\n\n\n\n", id="no-data"),
    pytest.param(UNTIL_CLOSE + b"data: half", id="unterminated"),
    pytest.param(UNTIL_CLOSE + b"database: a\n\n", id="another-field"),
    pytest.param(b"HTTP/1.1 204 No Content\r\n\r\ndata: a\n\n", id="no-content"),
    pytest.param(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nxyz\r\ndata: a\n\n", id="no-chunk-size"),
    pytest.param(b"HTTP/1.1 200 OK\r\ncontent-length: no\r\n\r\n", id="no-length"),
]


@pytest.mark.parametrize("cut", [1, 2, 7, 10_000])
@pytest.mark.parametrize("stream", WITHOUT_EVENTS)
def test_what_is_no_event_is_not_counted(stream: bytes, cut: int) -> None:
    """Comments, blocks without data, other bytes: none of them is an event, and none an error."""
    assert ends_of(stream, cut) == []


@pytest.mark.parametrize("cut", [1, 2, 3, 7, 10_000])
@pytest.mark.parametrize("line_end", [b"\n", b"\r\n"])
def test_events_end_at_their_blank_line(line_end: bytes, cut: int) -> None:
    """The offset is just behind the blank line, however the bytes were cut."""
    events = [b"event: tick", line_end, b"data: 1", line_end * 2, b": beat", line_end * 2, b"data", line_end * 2]
    stream = UNTIL_CLOSE + b"".join(events)
    expected = behind(stream, b"data: 1" + line_end * 2, b"data" + line_end * 2)

    ends = ends_of(stream, cut)

    # A piece that ends between CR and LF ends the event already at its CR.
    assert [end + (stream[end - 1 : end + 1] == b"\r\n") for end in ends] == expected


@pytest.mark.parametrize("cut", [1, 2, 3, 7, 10_000])
@pytest.mark.parametrize(("marks", "found"), [(0, [b"1\n\n", b"2\n\n"]), (1, [b"1\n\n", b"2\n\n"]), (2, [b"2\n\n"])])
def test_one_byte_order_mark_is_no_part_of_the_first_line(marks: int, found: list[bytes], cut: int) -> None:
    """A body may begin with one, and each response's does; a second one is a part of the field's name."""
    stream = UNTIL_CLOSE + b"\xef\xbb\xbf" * marks + b"data: 1\n\n\xef\xbb\xbfdata: no\n\ndata: 2\n\n"

    assert ends_of(stream, cut) == behind(stream, *found)


@pytest.mark.parametrize("cut", [1, 2, 3, 10_000])
def test_lone_carriage_returns_end_lines(cut: int) -> None:
    """CR alone is a line's end too."""
    stream = UNTIL_CLOSE + b"data: 1\r\rdata: 2\r\r"

    assert ends_of(stream, cut) == behind(stream, b"1\r\r", b"2\r\r")


@pytest.mark.parametrize("cut", [1, 2, 3, 7, 10_000])
def test_chunks_are_seen_through(cut: int) -> None:
    """Chunk sizes are no lines of the stream, and an event may lie across chunks."""
    body = chunk(b"data: 1\n") + chunk(b"\n") + chunk(b"da") + chunk(b"ta: 2\n\ndata: 3\n\n")
    stream = CHUNKED + body

    assert ends_of(stream, cut) == behind(stream, b"1\r\n\n", b"2\n\n", b"3\n\n")


@pytest.mark.parametrize("cut", [1, 2, 3, 7, 10_000])
def test_responses_follow_one_another(cut: int) -> None:
    """On a connection that is kept, each body is told from the next head, by its framing."""
    first = b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\ndata: 1\n\n"
    empty = b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n"
    informational = b"HTTP/1.1 103 Early Hints\r\nlink: data\r\n\r\n"
    chunked = CHUNKED + chunk(b"data: 2\n\n") + b"0\r\ntrailer: data\r\n\r\n"
    stream = first + empty + informational + chunked + UNTIL_CLOSE + b"data: 3\n\n"

    assert ends_of(stream, cut) == behind(stream, b"1\n\n", b"2\n\n", b"3\n\n")


def test_a_line_without_end_is_not_kept() -> None:
    """A head line of any length costs no more memory than its limit."""
    scanner = EventScanner()

    for _ in range(100):
        scanner.feed(b"x" * 10_000)

    assert len(scanner._line) <= 8192
