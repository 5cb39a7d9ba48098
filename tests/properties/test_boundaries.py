"""What holds of the places between events for every stream, however it is cut."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import pairwise

from hypothesis import example, given, settings
from hypothesis import strategies as st

from unbroken.wire import HEARTBEAT, DecodedEvent, Decoder
from unbroken.wire.boundaries import EventBoundaries

# A busy machine is no failure, so no example has a deadline.
every = settings(deadline=None)

BOM = b"\xef\xbb\xbf"
_CONTROL_EVENT = b'event: stream-end\ndata: {"reason":"shutdown"}\n\n'
_NAMES = [b"data", b"event", b"id", b"retry", b"", b"dat", b"datax", b"unknown", BOM + b"data", b"\xef\xbb", b"\0"]
_VALUES = [b"", b":", b": x", b":x", b": 12", b":\0", b": \0", b"::", b": \xff", b" "]
_ENDS = [b"\n", b"\r", b"\r\n", b"\n\n", b"\r\r", b"\r\n\r\n", b"\n\r", b"\r\n\n", b"\r\r\n", b""]

lines = st.tuples(st.sampled_from(_NAMES), st.sampled_from(_VALUES), st.sampled_from(_ENDS)).map(b"".join)
starts = st.sampled_from([b"", BOM, BOM[:1], BOM[:2], BOM + BOM])
bodies = st.tuples(starts, st.lists(lines | st.binary(max_size=3), max_size=15).map(b"".join)).map(b"".join)
places = st.lists(st.floats(0, 1), max_size=12)


def cut(stream: bytes, fractions: Iterable[float]) -> list[bytes]:
    """Return the stream's chunks when it is cut at these fractions of its length."""
    edges = [0, *sorted(round(fraction * len(stream)) for fraction in fractions), len(stream)]
    return [stream[start:end] for start, end in pairwise(edges)]


def bytewise(stream: bytes) -> list[bytes]:
    """Return the stream's chunks when it is cut everywhere."""
    return [stream[place : place + 1] for place in range(len(stream))]


def put_between(chunks: Iterable[bytes], inserted: bytes) -> bytes:
    """Return what a client gets if this is put wherever the stream is between events."""
    boundaries, sent = EventBoundaries(), bytearray()
    for chunk in [b"", *chunks]:
        sent += boundaries.feed(chunk)
        if boundaries.between:
            boundaries.precede()
            sent += inserted
    return bytes(sent)


def read(stream: bytes) -> tuple[list[DecodedEvent], str, int | None]:
    """Return all that a client knows after this stream."""
    decoder = Decoder()
    events = decoder.feed(stream)
    return events, decoder.last_event_id, decoder.retry


def count(chunks: Iterable[bytes]) -> EventBoundaries:
    """Return what has read these chunks with nothing put between them."""
    boundaries = EventBoundaries()
    for chunk in chunks:
        boundaries.feed(chunk)
    return boundaries


@every
@given(bodies, places)
@example(BOM + b"data: x\r\n\r\n", [0.1, 0.2])
@example(b"data: x\r\n\r\n", [10 / 11])
def test_a_heartbeat_between_events_changes_nothing(stream: bytes, fractions: list[float]) -> None:
    """Events, last event ID and reconnection time stay what they are, in whatever chunks the stream comes."""
    for chunks in (cut(stream, fractions), bytewise(stream)):
        assert read(put_between(chunks, HEARTBEAT)) == read(stream)


@every
@given(bodies, places)
def test_an_event_between_events_is_one_more_event(stream: bytes, fractions: list[float]) -> None:
    """A control event is dispatched as it is, and the application's are as they were."""
    events, last_event_id, retry = read(put_between(cut(stream, fractions), _CONTROL_EVENT))
    own = [event for event in events if event.event != "stream-end"]
    assert (own, last_event_id, retry) == read(stream)
    assert {event.data for event in events if event.event == "stream-end"} <= {'{"reason":"shutdown"}'}


@every
@given(bodies, places)
def test_events_are_counted_as_they_are_dispatched(stream: bytes, fractions: list[float]) -> None:
    """The count is that of a conforming decoder, and no cut changes it."""
    expected = len(read(stream)[0])
    assert [count(chunks).events for chunks in ([stream], cut(stream, fractions), bytewise(stream))] == [expected] * 3


@every
@given(bodies, places)
def test_cuts_change_no_place(stream: bytes, fractions: list[float]) -> None:
    """Whether a stream is between events depends on its bytes alone."""
    expected = count([stream]).between
    assert [count(chunks).between for chunks in (cut(stream, fractions), bytewise(stream))] == [expected] * 2


@every
@given(bodies, places)
def test_what_is_passed_on_is_the_stream(stream: bytes, fractions: list[float]) -> None:
    """No byte is added, and none is lost but a byte order mark that has lost its place."""
    boundaries = EventBoundaries()
    assert b"".join(map(boundaries.feed, cut(stream, fractions))) == stream
    preceded = EventBoundaries()
    preceded.precede()
    passed = b"".join(map(preceded.feed, cut(stream, fractions)))
    held = stream if BOM.startswith(stream) else b""
    assert passed + held.removeprefix(BOM) == stream.removeprefix(BOM)


@every
@given(bodies)
def test_every_event_is_followed_by_a_place(stream: bytes) -> None:
    """Right after the byte that completes an event, something can be put: no stream waits for it in vain."""
    boundaries = EventBoundaries()
    for byte in bytewise(stream):
        before = boundaries.events
        boundaries.feed(byte)
        assert boundaries.between or boundaries.events == before
