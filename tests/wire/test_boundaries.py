"""Where a stream is between events; that nothing put there changes it is in tests/properties."""

from __future__ import annotations

import tracemalloc

import pytest

from unbroken.wire.boundaries import EventBoundaries

BOM = b"\xef\xbb\xbf"
MIB = 1024 * 1024


def after(*chunks: bytes) -> EventBoundaries:
    """Return what has read these chunks."""
    boundaries = EventBoundaries()
    for chunk in chunks:
        assert boundaries.feed(chunk) is chunk
    return boundaries


def test_a_stream_begins_between_events() -> None:
    """A heartbeat may come before the application's first byte, and an empty chunk changes nothing."""
    assert (after().between, after().events) == (True, 0)
    assert (after(b"", b"").between, after(b"", b"").events) == (True, 0)


@pytest.mark.parametrize("end", [b"\n", b"\r", b"\r\n"], ids=["LF", "CR", "CRLF"])
@pytest.mark.parametrize("fields", [b"data: a", b"data", b"data:", b"event: x|id: 1|data: a|data: b", b": c|data: a"])
def test_an_event_ends_with_its_blank_line(fields: bytes, end: bytes) -> None:
    """Whatever the line end: after the fields the stream is inside the event, after the blank line between two."""
    block = fields.replace(b"|", end) + end
    assert (after(block).between, after(block).events) == (False, 0)
    assert (after(block + end).between, after(block + end).events) == (True, 1)
    assert (after(block, end).between, after(block, end).events) == (True, 1)


@pytest.mark.parametrize("block", [b"id: 1\n", b"retry: 5\n", b"event: x\n", b"unknown\n", b"dat\n", b"database: x\n"])
def test_a_block_without_data_is_no_event(block: bytes) -> None:
    """It may set the last event ID, so nothing is put into it, and nothing is counted at its end."""
    assert not after(block).between
    assert (after(block + b"\n").between, after(block + b"\n").events) == (True, 0)


def test_comments_begin_no_event() -> None:
    """A library's padding or heartbeat of one line is a place for ours; a part of a comment is not."""
    assert after(b": padding\n").between
    assert after(b": one\r\n", b": two\r\n").between
    assert not after(b": pad").between
    assert not after(b":").between
    assert not after(b"data: a\n: between its lines\n").between
    assert after(b": heartbeat\r\n\r\n").events == 0


@pytest.mark.parametrize("part", [b"d", b"data", b"data: a", b"id: 1\ndata: a\n", b" ", b"\0", b"\n\ndata: a"])
def test_a_part_of_an_event_is_inside_of_it(part: bytes) -> None:
    """The first byte of a line begins an event, and only a blank line ends it."""
    assert not after(part).between
    assert not after(b"data: before\n\n", part).between


def test_the_end_of_a_chunk_may_part_a_line_anywhere() -> None:
    """A field's name is known though it comes in pieces, and a longer name is not taken for it."""
    assert after(*(bytes([byte]) for byte in b"data: a\n\ndata\n\ndatum: b\n\ndata:\n\n")).events == 3
    assert after(b"data", b"base: a\n\n").events == 0
    assert after(b": d", b"ata: a\n\n").events == 0


def test_a_late_lf_belongs_to_its_cr() -> None:
    """An LF that comes a chunk after its CR ends no second line, whatever empty chunks lie between."""
    assert not after(b"data: a\r", b"\n").between
    assert not after(b"data: a\r", b"", b"\n").between
    assert after(b"data: a\r", b"\n", b"\n").between


def test_after_the_cr_of_a_blank_line_the_event_has_ended() -> None:
    """The LF that may follow is then an empty line in an empty block: whoever ends lines in CR has heartbeats too."""
    assert (after(b"data: a\r\n\r").between, after(b"data: a\r\n\r").events) == (True, 1)
    assert (after(b"data: a\r\n\r", b"\n").between, after(b"data: a\r\n\r", b"\n").events) == (True, 1)


def test_one_chunk_may_hold_many_events() -> None:
    """Each is counted, also where the bytes are read in several goes."""
    stream = b"".join(b"id: %d\ndata: %d\ndata: more\n\n: no event\n\n" % (number, number) for number in range(10_000))
    assert after(stream).events == 10_000
    assert (after(stream[:-1]).between, after(stream[:-1]).events) == (True, 10_000)
    assert not after(stream + b"data").between


@pytest.mark.parametrize("cut", [0, 1, 2, 3])
def test_a_byte_order_mark_at_the_very_beginning_stays(cut: int) -> None:
    """It is passed on, is no part of the first line, and nothing is put into it."""
    boundaries = after(BOM[:cut])
    assert boundaries.between is (cut in {0, 3})
    assert boundaries.feed(BOM[cut:] + b"data: a\n\n") == BOM[cut:] + b"data: a\n\n"
    assert (boundaries.between, boundaries.events) == (True, 1)


@pytest.mark.parametrize("cut", [0, 1, 2, 3])
def test_a_byte_order_mark_after_something_of_ours_is_taken_out(cut: int) -> None:
    """There it would be a part of the first field's name; a second one is the application's own."""
    boundaries = EventBoundaries()
    boundaries.precede()
    assert boundaries.feed(BOM[:cut]) == b""
    assert boundaries.between
    assert boundaries.feed(BOM[cut:] + b"data: a\n\n") == b"data: a\n\n"
    assert (boundaries.between, boundaries.events) == (True, 1)
    assert boundaries.feed(BOM) == BOM


@pytest.mark.parametrize("start", [BOM[:1], BOM[:2]], ids=["one byte", "two bytes"])
def test_what_only_begins_like_a_byte_order_mark_is_given_back(start: bytes) -> None:
    """Bytes that were held back come with the next chunk."""
    boundaries = EventBoundaries()
    boundaries.precede()
    assert boundaries.feed(start) == b""
    assert boundaries.feed(b"x\ndata: a\n\n") == start + b"x\ndata: a\n\n"
    assert boundaries.events == 1


def test_only_the_first_byte_can_be_preceded() -> None:
    """A heartbeat between later events takes no byte of the application's."""
    boundaries = after(BOM, b"data: a\n\n")
    boundaries.precede()
    assert boundaries.feed(BOM + b"data: b\n\n") == BOM + b"data: b\n\n"
    assert boundaries.events == 1


@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview])
def test_any_bytes_like_chunk_is_read(kind: type[bytes]) -> None:
    """Frameworks send what their users yield, and servers take it."""
    chunks = [kind(b"data: a\r\n\r"), kind(b"\n"), kind(b"data: b\n\nda"), kind(b"ta: c\r\r"), kind(b"")]
    boundaries = EventBoundaries()
    assert [boundaries.feed(chunk) for chunk in chunks] == chunks
    assert (boundaries.between, boundaries.events) == (True, 3)


def test_nothing_of_an_event_is_kept() -> None:
    """A line without end costs no memory, and neither does a chunk of millions of short lines."""
    boundaries = EventBoundaries()
    line, lines = bytes(MIB), b"ab\n" * (4 * MIB)
    tracemalloc.start()
    try:
        for _ in range(10):
            boundaries.feed(line)
        boundaries.feed(lines)
        held, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert held < 16 * 1024
    assert most < 4 * MIB
