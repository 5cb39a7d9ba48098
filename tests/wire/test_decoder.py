"""The decoder's bounds, its state between chunks, and its promptness; its reading is in tests/conformance."""

from __future__ import annotations

import copy
import pickle
import tracemalloc
from dataclasses import FrozenInstanceError, dataclass, fields, replace
from itertools import repeat
from typing import Any

import pytest

from unbroken.errors import ConfigurationError, EventDataError, EventStreamError, EventTooLarge, LineTooLong
from unbroken.wire import DecodedEvent, Decoder

pytestmark = pytest.mark.core

MIB = 1024 * 1024


def message(data: str, last_event_id: str = "") -> DecodedEvent:
    """Return an event of the default type."""
    return DecodedEvent("message", data, last_event_id)


def test_a_cr_at_a_chunks_end_dispatches_at_once() -> None:
    """An event that ends in CR does not wait for the next chunk to show whether LF follows."""
    decoder = Decoder()
    assert decoder.feed(b"data: a\r\r") == [message("a")]
    assert decoder.feed(b"\ndata: b\r\n\r") == [message("b")]


@pytest.mark.parametrize("between", [[], [b""], [b"", b""]], ids=["nothing", "empty chunk", "empty chunks"])
def test_a_late_lf_belongs_to_its_cr(between: list[bytes]) -> None:
    """An LF that comes a chunk after its CR ends no second line, whatever empty chunks lie between."""
    decoder = Decoder()
    chunks = [b"event: tick\r", *between, b"\n", b"data: a\r", *between, b"\ndata: b\n\n"]
    assert [event for chunk in chunks for event in decoder.feed(chunk)] == [DecodedEvent("tick", "a\nb", "")]


def test_only_the_first_lf_after_a_cr_is_swallowed() -> None:
    """The LF after CRLF in a chunk of its own is an empty line."""
    decoder = Decoder()
    assert decoder.feed(b"data: a\r") == []
    assert decoder.feed(b"\n") == []
    assert decoder.feed(b"\n") == [message("a")]


def test_one_chunk_may_hold_many_events() -> None:
    """Events come in the stream's order, each with the ID that held when it was dispatched."""
    stream = b"".join(b"id: %d\ndata: %d\n\n" % (number, number) for number in range(1000))
    decoder = Decoder()
    assert decoder.feed(stream) == [message(str(number), str(number)) for number in range(1000)]
    assert decoder.last_event_id == "999"


@pytest.mark.parametrize(
    "stream", [b"data: a\n\n" * 3, b"\n" + b"event: tick\ndata: a\n\n" * 3], ids=["plain", "typed"]
)
def test_a_new_connection_goes_on_with_the_last_id(stream: bytes) -> None:
    """Events without an ID have that of the connection before, until the stream gives one or resets it."""
    decoder = Decoder(last_event_id="41")
    assert decoder.last_event_id == "41"
    assert [event.last_event_id for event in decoder.feed(stream)] == ["41"] * 3
    assert [event.last_event_id for event in decoder.feed(b"id: 42\n\n" + stream)] == ["42"] * 3
    assert [event.last_event_id for event in decoder.feed(b"id\n\n" + stream)] == [""] * 3
    assert decoder.last_event_id == ""


def test_a_retry_of_any_length_is_a_number() -> None:
    """Digits beyond what Python turns into an int at once still set a time, however long."""
    decoder = Decoder()
    decoder.feed(b"retry: " + b"0" * 5000 + b"25\n")
    assert decoder.retry == 25
    decoder.feed(b"retry: " + b"9" * 5000 + b"\n")
    assert decoder.retry is not None
    assert decoder.retry >= 10**19


def test_comments_are_counted_as_they_come() -> None:
    """A watchdog sees each comment line as soon as it has ended, without a blank line."""
    decoder = Decoder()
    decoder.feed(b": one\n: tw")
    assert decoder.comments == 1
    decoder.feed(b"o\n")
    assert decoder.comments == 2


def test_a_line_at_its_bound_is_read() -> None:
    """A line of exactly `max_line_bytes` is no error, with any line end, whole or in pieces."""
    for end in (b"\n", b"\r", b"\r\n"):
        stream = b"data: abc" + end + end
        assert Decoder(max_line_bytes=9).feed(stream) == [message("abc")]
        decoder = Decoder(max_line_bytes=9)
        assert [event for byte in stream for event in decoder.feed(bytes([byte]))] == [message("abc")]


@pytest.mark.parametrize("line", [b"data: abcd", b": comment.", b"unknown: x"], ids=["data", "comment", "unknown"])
@pytest.mark.parametrize("end", [b"", b"\n"], ids=["incomplete", "complete"])
def test_a_line_beyond_its_bound_is_an_error(line: bytes, end: bytes) -> None:
    """One byte more is an error, whatever the line is, whether its end has come or not."""
    with pytest.raises(LineTooLong, match="at least 10 bytes, and max_line_bytes is 9"):
        Decoder(max_line_bytes=9).feed(line + end)
    with pytest.raises(LineTooLong):
        decoder = Decoder(max_line_bytes=9)
        for byte in line + end:
            decoder.feed(bytes([byte]))


def test_an_event_at_its_bound_is_read() -> None:
    """Data of exactly `max_event_bytes`, the LF between its lines included, is no error."""
    assert Decoder(max_event_bytes=5).feed(b"data: ab\ndata: cd\n\n") == [message("ab\ncd")]


def test_bytes_that_are_no_utf8_count_as_received() -> None:
    """U+FFFD has three bytes where one came, and the bound is of what came."""
    decoder = Decoder(max_line_bytes=25, max_event_bytes=25)
    decoder.feed(b"\n")
    assert decoder.feed(b":\ndata:" + b"\xff" * 15 + b"\n\n") == [message("\ufffd" * 15)]


@pytest.mark.parametrize("stream", [b"data: abcdef\n", b"data: ab\ndata: cde\n", b"data:\n" * 7])
def test_an_event_beyond_its_bound_is_an_error(stream: bytes) -> None:
    """One byte of data more is an error, before the event is complete."""
    with pytest.raises(EventTooLarge, match="at least 6 bytes, and max_event_bytes is 5"):
        Decoder(max_event_bytes=5).feed(stream)


def test_the_bound_is_of_one_event() -> None:
    """An event's data does not count towards the next one's bound."""
    assert len(Decoder(max_event_bytes=5).feed(b"data: abcde\n\n" * 100)) == 100


@pytest.mark.parametrize("name", ["max_line_bytes", "max_event_bytes"])
def test_no_bound(name: str) -> None:
    """None lifts a bound: an event beyond the default one is read."""
    size = 17 * MIB
    bounds: dict[str, Any] = {"max_line_bytes": None, "max_event_bytes": None}
    stream = b"data: " + b"x" * size + b"\n\n"
    (event,) = Decoder(**bounds).feed(stream)
    assert len(event.data) == size
    with pytest.raises(EventStreamError, match=name):
        Decoder(**{**bounds, name: 16 * MIB}).feed(stream)


@pytest.mark.parametrize("bound", [0, -1])
@pytest.mark.parametrize("name", ["max_line_bytes", "max_event_bytes"])
def test_a_bound_has_room_for_something(name: str, bound: int) -> None:
    """A bound below one byte is refused."""
    bounds: dict[str, Any] = {name: bound}
    with pytest.raises(ConfigurationError, match=f"{name}={bound}"):
        Decoder(**bounds)


def test_an_ended_decoder_stays_ended() -> None:
    """Beyond a bound every further call raises the same error, and nothing is read any more."""
    decoder = Decoder(max_line_bytes=9)
    with pytest.raises(LineTooLong) as first:
        decoder.feed(b"x" * 10)
    for chunk in (b"", b"\n", b"data: a\n\nretry: 1\n"):
        with pytest.raises(LineTooLong) as again:
            decoder.feed(chunk)
        assert again.value is first.value
    assert decoder.retry is None


@pytest.mark.parametrize(
    "beyond",
    [b"data: abcdefgh", b"data: abcdefgh\n\ndata: x\n\n", b"data: ab\ndata: c\n"],
    ids=["rest", "line", "event"],
)
def test_events_before_an_error_are_not_lost(beyond: bytes) -> None:
    """What the chunk completed before it broke a bound is returned, and then the error is raised."""
    decoder = Decoder(max_line_bytes=10, max_event_bytes=3)
    assert decoder.feed(b"id: 1\ndata: a\n\n" + beyond) == [message("a", "1")]
    with pytest.raises(EventStreamError):
        decoder.feed(b"")
    assert decoder.last_event_id == "1"


@pytest.mark.parametrize(
    "chunks",
    [
        [b"data: ", *repeat(b"x" * 65536, 16)],
        [*repeat(b"data: " + b"x" * 60_000 + b"\n", 16)],
        [*repeat(b"data\n" * 5_000, 100)],
    ],
    ids=["line", "event", "event of empty lines"],
)
def test_memory_is_bounded_before_the_error(chunks: list[bytes]) -> None:
    """A line or an event without end costs a few times its bound, and nothing once it is noticed."""
    decoder = Decoder(max_line_bytes=MIB // 4, max_event_bytes=MIB // 4)
    tracemalloc.start()
    try:
        with pytest.raises(EventStreamError):
            for chunk in chunks:
                decoder.feed(chunk)
        kept, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 2 * MIB
    assert kept < MIB // 8


def test_a_line_that_drips_in_costs_what_it_weighs() -> None:
    """A huge line in tiny chunks is searched and copied once: with each chunk the whole line again, this never ends."""
    decoder = Decoder()
    events = [decoder.feed(chunk) for chunk in (b"data: ", *repeat(b"x" * 32, 8 * MIB // 32), b"\n\n")]
    assert [len(event.data) for found in events for event in found] == [8 * MIB]


@pytest.mark.parametrize("size", [1000, 10 * MIB], ids=["in small chunks", "in large chunks"])
def test_a_million_lines_cost_what_they_weigh(size: int) -> None:
    """Empty lines, lines of data and comments are read once each, however many there are between two events."""
    lines = b"\n" * 1_000_000 + b"data: x\n" * 1_000_000 + b"\n" + b":\n" * 1_000_000
    decoder = Decoder()
    events = [event for start in range(0, len(lines), size) for event in decoder.feed(lines[start : start + size])]
    assert [event.data.count("x\nx") for event in events] == [500_000]
    assert decoder.comments == 1_000_000


@pytest.mark.parametrize("behind", [b"", b"data: y\n\n"], ids=["alone", "before another"])
def test_a_huge_line_in_one_chunk(behind: bytes) -> None:
    """A line at the default bound comes whole, beside short ones."""
    data = b"x" * (16 * MIB - len("data: "))
    events = Decoder().feed(b"\ndata: " + data + b"\n\n" + behind)
    assert [len(event.data) for event in events] == [len(data), *([1] if behind else [])]


def test_many_events_in_one_chunk_take_memory_for_themselves_only() -> None:
    """Beside the events that are returned, a chunk of very many lines takes little more memory than its own."""
    stream = b"\n" * (8 * MIB)
    decoder = Decoder()
    tracemalloc.start()
    try:
        assert decoder.feed(stream) == []
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 4 * MIB


def decoded_event() -> DecodedEvent:
    """Return an event as the decoder made it, the fast way."""
    (event,) = Decoder(last_event_id="1").feed(b"\ndata: a\n\n")
    return event


def test_an_event_is_a_value() -> None:
    """What the decoder made and what was made by hand are one and the same: equal, hashed and shown alike."""
    event, same = decoded_event(), DecodedEvent("message", "a", "1")
    assert type(event) is DecodedEvent
    assert event == same
    assert hash(event) == hash(same)
    assert repr(event) == repr(same) == "DecodedEvent(event='message', data='a', last_event_id='1')"
    assert event != replace(event, data="b")
    assert [field.name for field in fields(event)] == ["event", "data", "last_event_id"]
    assert copy.copy(event) == copy.deepcopy(event) == pickle.loads(pickle.dumps(event)) == event


def test_an_event_cannot_be_changed() -> None:
    """One event may go to many readers: no field is set or deleted, and there is no room for another."""
    event = decoded_event()
    for name in ("event", "data", "last_event_id"):
        with pytest.raises(FrozenInstanceError):
            setattr(event, name, "x")
        with pytest.raises(FrozenInstanceError):
            delattr(event, name)
    with pytest.raises((AttributeError, TypeError)):
        setattr(event, "other", "x")  # noqa: B010 - what a type checker would refuse
    assert not hasattr(event, "__dict__")


def test_an_event_may_be_of_a_subclass() -> None:
    """A special event has fields beside those of every event."""

    @dataclass(frozen=True, slots=True)
    class Special(DecodedEvent):
        reason: str

    special = Special("stream-gap", '{"reason": "trimmed"}', "", "trimmed")
    assert (special.event, special.json()["reason"], special.reason) == ("stream-gap", "trimmed", "trimmed")
    assert isinstance(special, DecodedEvent)
    assert special != DecodedEvent("stream-gap", '{"reason": "trimmed"}', "")


def test_json_is_read() -> None:
    """The data, whatever lines it came in, is read as one JSON text."""
    (event,) = Decoder().feed(b'data: {"n":\ndata: [1, "\xc3\xa9"]}\n\n')
    assert event.json() == {"n": [1, "é"]}


@pytest.mark.parametrize(
    "data", ["", "[DONE]", "{", "[" * 100_000, "1" * 5000], ids=["empty", "word", "cut", "deep", "long"]
)
def test_what_is_no_json_is_an_error_of_its_own(data: str) -> None:
    """The error has the event, says what it holds and what to do, and is no larger for a large event."""
    event = DecodedEvent("tick", data, "")
    with pytest.raises(EventDataError, match=r"the event 'tick' is no JSON: .*read \.data") as caught:
        event.json()
    assert caught.value.event is event
    assert len(str(caught.value)) < 400
