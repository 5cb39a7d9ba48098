"""The decoder's fast ways against the standard's literal one, over streams of anything, cut anywhere."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import pairwise, product

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from unbroken.errors import EventStreamError
from unbroken.wire import DecodedEvent, Decoder

from .literal import LiteralReader
from .test_event_stream import BYTE_ORDER_MARK, each_vector
from .vectors import Vector

# What decides between the ways: blocks of every form, those that are nearly of it, and what breaks them.
_LINES = [
    *(b"data: a", b"data: b", b"data:c", b"data", b"data: ", b"data:  d", b"data: \xc3\xa9\xff", b"datas: x"),
    *(b"id: 1", b"id:2", b"id:", b"id: ", b"id", b"id: 3\0", b"id:  4", b"id: \xff"),
    *(b"event: t", b"event:u", b"event:", b"event: ", b"event", b"event:  v", b"event: \xe2\x82"),
    *(b": c", b":", b"retry: 7", b"retry: x", b"x: y", b"\0", b" "),
]
_BITS = [b"data: ", b"data:", b"id: ", b"event: ", b":", b" ", b"\n", b"\r", b"\r\n", b"\0", b"a", b"\xe2\x82", b"\xff"]
_LONG = [b"data: " + b"x" * 17_000 + b"\n\n", b"id: 8\ndata: " + b"y" * 9_000 + b"\n\n", b"data: z\n\n" * 2_000]

blocks = st.lists(st.sampled_from(_LINES), max_size=4).map(
    lambda lines: b"".join(line + b"\n" for line in lines) + b"\n"
)
usual = st.sampled_from([b"data: a\n\n", b"id: 1\ndata: a\n\n", b"event: t\nid: 2\ndata: b\n\n", b": c\n\n"])
bits = st.sampled_from(_BITS) | st.binary(max_size=3)
streams = st.tuples(
    st.sampled_from([b"", b"", BYTE_ORDER_MARK, BYTE_ORDER_MARK[:2]]),
    st.lists(blocks | blocks | usual | bits, max_size=30).map(b"".join),
).map(b"".join)
line_ends = st.sampled_from([b"\n", b"\r", b"\r\n"])
places = st.lists(st.floats(0, 1), max_size=8)

State = tuple[list[DecodedEvent], int | None, str, int]


def literally(stream: bytes, last_event_id: str = "") -> State:
    """Return all that a client may know after `stream`, by the standard's own words."""
    reader = LiteralReader(last_event_id)
    reader.read(stream)
    return reader.events, reader.retry, reader.last_event_id, reader.comments


def decoded(chunks: Iterable[bytes], last_event_id: str = "", bound: int | None = None) -> State:
    """Return all that a decoder knows after `chunks`."""
    decoder = Decoder(max_line_bytes=bound, max_event_bytes=bound, last_event_id=last_event_id)
    events = [event for chunk in chunks for event in decoder.feed(chunk)]
    return events, decoder.retry, decoder.last_event_id, decoder.comments


def cut(stream: bytes, at: Iterable[float]) -> list[bytes]:
    """Return the stream's chunks when it is cut at these fractions of its length."""
    edges = [0, *sorted(round(place * len(stream)) for place in at), len(stream)]
    return [stream[start:end] for start, end in pairwise(edges)]


@each_vector
def test_the_vectors_hold_of_the_literal_reader(vector: Vector) -> None:
    """What the decoder is compared with is itself right: it reads every vector as the vector says."""
    assert literally(vector.stream) == (list(vector.events), vector.retry, vector.last_event_id, vector.comments)


@pytest.mark.parametrize("lines", [1, 2, 3])
def test_every_block_of_few_lines_is_read_to_the_letter(lines: int) -> None:
    """Each order of up to three lines of every form, as a block before an event: in its chunk, and in one with all."""
    chunks = [b"".join(line + b"\n" for line in block) + b"\n" for block in product(_LINES, repeat=lines)]
    chunks = [b"\n", *(chunk + b"data: z\n\n" for chunk in chunks)]
    expected = literally(b"".join(chunks))
    assert decoded(chunks) == expected
    assert decoded([b"".join(chunks)]) == expected


@settings(max_examples=400, deadline=None)
@given(stream=streams, line_end=line_ends, at=places, last_event_id=st.sampled_from(["", "9"]))
@example(stream=b"\ndata: a\n\ndata: b\n\n", line_end=b"\n", at=[0.02], last_event_id="")
@example(stream=b"\ndata: a\n\nevent: x\nid: 1\nevent:\ndata: b\n\n", line_end=b"\r\n", at=[0.5], last_event_id="9")
def test_every_stream_is_read_to_the_letter(
    stream: bytes, line_end: bytes, at: list[float], last_event_id: str
) -> None:
    """Whatever way a block goes, whatever its line ends and wherever it is cut, it says what the standard says."""
    stream = stream.replace(b"\n", line_end)
    expected = literally(stream, last_event_id)
    assert decoded(cut(stream, at), last_event_id) == expected
    # With a bound so near, the chunk is read in many pieces, and hardly anything goes the fast way.
    assert decoded(cut(stream, at), last_event_id, bound=max(1, len(stream))) == expected


@settings(max_examples=60, deadline=None)
@given(parts=st.lists(st.sampled_from(_LONG) | blocks | bits, max_size=12), at=places)
def test_long_streams_are_read_to_the_letter(parts: list[bytes], at: list[float]) -> None:
    """So are long lines, and chunks of so many events that they are taken apart in groups."""
    stream = b"".join(parts)
    assert decoded(cut(stream, at)) == literally(stream)


@settings(max_examples=200, deadline=None)
@given(stream=streams, at=places, bound=st.integers(1, 40))
def test_a_bound_is_broken_or_nothing_is_changed(stream: bytes, at: list[float], bound: int) -> None:
    """A bound ends a stream at the same event wherever it is cut, and up to there nothing is different."""

    def outcome(chunks: Iterable[bytes]) -> tuple[list[DecodedEvent], type[EventStreamError] | None]:
        decoder = Decoder(max_line_bytes=bound, max_event_bytes=bound)
        events: list[DecodedEvent] = []
        try:
            for chunk in (*chunks, b""):
                events += decoder.feed(chunk)
        except EventStreamError as error:
            return events, type(error)
        return events, None

    events, error = outcome([stream[at : at + 1] for at in range(len(stream))])
    assert outcome(cut(stream, at)) == (events, error)
    expected, *_ = literally(stream)
    assert events == (expected if error is None else expected[: len(events)])


_GROUP, _PIECE = 16 * 1024, 64 * 1024


@pytest.mark.parametrize("size", [edge + by for edge in (_GROUP, _PIECE) for by in (-2, -1, 0, 1, 2)])
def test_no_size_of_a_chunk_is_special(size: int) -> None:
    """Where a chunk is taken apart inside, nothing is lost or doubled: at, before and behind each such size."""
    for block in (
        b"data: abc\n\n",
        b"id: 1\ndata: abc\n\n",
        b": c\n\ndata\n\n",
        b"data: " + b"x" * (size - 8) + b"\n\n",
    ):
        stream = (block * (size // len(block) + 2))[:size]
        assert decoded([block, stream, block]) == literally(block + stream + block)
