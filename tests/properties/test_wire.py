"""What holds of the wire format for every event and every byte stream."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from itertools import pairwise

from hypothesis import example, given, settings
from hypothesis import strategies as st

from unbroken.errors import EventStreamError
from unbroken.wire import DecodedEvent, Decoder, ServerSentEvent, encode, encode_comment, encode_item
from unbroken.wire.event import MAX_RETRY

# A busy machine is no failure, so no example has a deadline.
every = settings(deadline=None)

# Arbitrary text hardly ever has a line break or a field in it, and those are what this is about.
_TELLING = ["\r", "\n", "\r\n", "\0", ":", " ", "data: x", "id: 1", "event: x", "retry: 1", "\x85", "\u2028", "\ufeff"]
texts = st.lists(st.sampled_from(_TELLING) | st.text(st.characters(codec="utf-8"), max_size=5), max_size=12).map(
    "".join
)
lines = texts.map(lambda text: re.sub("[\r\n\0]", "", text))
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | texts,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts, inner, max_size=4),
    max_leaves=10,
)


@st.composite
def events(draw: st.DrawFn) -> ServerSentEvent:
    """Build events of every mix of fields, except of none."""
    fields = {
        "data": st.none() | texts,
        "event": st.none() | lines,
        "id": st.none() | lines,
        "retry": st.none() | st.integers(0, MAX_RETRY),
        "comment": st.none() | texts,
    }
    drawn = {name: draw(values) for name, values in fields.items()}
    if all(value is None for value in drawn.values()):
        drawn["data"] = ""
    return ServerSentEvent(**drawn)  # type: ignore[arg-type]


_BYTES = [text.encode() for text in _TELLING] + [
    b"\xef",
    b"\xbb",
    b"\xbf",
    b"\xff",
    b"\xe2\x82",
    b"data",
    b"id",
    b"\n\n",
]
streams = st.lists(st.sampled_from(_BYTES) | st.binary(max_size=4), max_size=40).map(b"".join)


def normal(text: str) -> str:
    """Return text as it arrives: the standard has lines, so every line break arrives as LF."""
    return text.replace("\r\n", "\n").replace("\r", "\n")


def cut(stream: bytes, places: Iterable[float]) -> list[bytes]:
    """Return the stream's chunks when it is cut at these fractions of its length."""
    edges = [0, *sorted(round(place * len(stream)) for place in places), len(stream)]
    return [stream[start:end] for start, end in pairwise(edges)]


def read(chunks: Iterable[bytes]) -> tuple[list[DecodedEvent], int | None, str, int]:
    """Return all that a decoder knows after these chunks."""
    decoder = Decoder()
    dispatched = [event for chunk in chunks for event in decoder.feed(chunk)]
    return dispatched, decoder.retry, decoder.last_event_id, decoder.comments


def read_literally(stream: bytes) -> tuple[list[DecodedEvent], int | None, str, int]:
    """Read a whole stream as WHATWG 9.2.6 puts it, sentence by sentence, with no thought of chunks or of cost."""
    text = stream.decode("utf-8", "replace").removeprefix("\ufeff")
    dispatched: list[DecodedEvent] = []
    data = event_type = last_id_buffer = last_id = ""
    retry, comments = None, 0
    *complete, _ = re.split("\r\n|\n|\r", text)
    for line in complete:
        field, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if line == "":
            last_id = last_id_buffer
            if data:
                dispatched.append(DecodedEvent(event_type or "message", data.removesuffix("\n"), last_id))
            data = event_type = ""
        elif field == "":
            comments += 1
        elif field == "event":
            event_type = value
        elif field == "data":
            data += value + "\n"
        elif field == "id" and "\0" not in value:
            last_id_buffer = value
        elif field == "retry" and re.fullmatch("[0-9]+", value):
            retry = int(value)
    return dispatched, retry, last_id, comments


def expected_of(sent: list[ServerSentEvent]) -> tuple[list[DecodedEvent], int | None, str, int]:
    """Return what a client must know after these events.

    An event arrives with the standard's normalisations: line breaks of its data
    as LF, an empty or missing type as `message`, a missing ID as the last one
    before it; without data it is not dispatched, but its ID counts.
    """
    dispatched, retry, last_id, comments = [], None, "", 0
    for event in sent:
        last_id = last_id if event.id is None else event.id
        retry = retry if event.retry is None else event.retry
        comments += 0 if event.comment is None else 1 + normal(event.comment).count("\n")
        if event.data is not None:
            dispatched.append(DecodedEvent(event.event or "message", normal(str(event.data)), last_id))
    return dispatched, retry, last_id, comments


@every
@given(sent=st.lists(events(), max_size=5), places=st.lists(st.floats(0, 1), max_size=8))
def test_what_is_encoded_is_decoded(sent: list[ServerSentEvent], places: list[float]) -> None:
    """Events arrive as they were sent, but for the standard's normalisations, however the bytes are cut."""
    stream = b"".join(map(encode, sent))
    assert read(cut(stream, places)) == expected_of(sent)


@every
@given(value=json_values)
def test_json_arrives_as_json(value: object) -> None:
    """A value that is no text arrives as JSON of an equal value, alone and as an event's data."""
    item = [value]
    for stream in (encode_item(item), encode(ServerSentEvent(item))):
        (event,), *_ = read([stream])
        assert json.loads(event.data) == item


@every
@given(text=texts)
@example(text="x\n\nid: 1\r\revent: y\r\n\r\ndata: z")
def test_text_injects_nothing(text: str) -> None:
    """Whatever a text holds, it is the data of one event, and tells the client nothing else."""
    assert read([encode_item(text)]) == ([DecodedEvent("message", normal(text), "")], None, "", 0)


@every
@given(text=texts)
@example(text="x\n\nid: 1\r\rretry: 1\r\n\r\ndata: z\n\n")
def test_a_comment_injects_nothing(text: str) -> None:
    """Whatever a comment holds, a client counts it and learns nothing else."""
    number = 1 + normal(text).count("\n")
    assert read([encode_comment(text)]) == ([], None, "", number)
    assert read([encode(ServerSentEvent(comment=text))]) == ([], None, "", number)


@every
@given(stream=streams, places=st.lists(st.floats(0, 1), max_size=12))
def test_any_bytes_are_read_to_the_letter(stream: bytes, places: list[float]) -> None:
    """Every byte stream, cut anywhere, is read as the standard's own words read it whole, and never raises."""
    assert read(cut(stream, places)) == read_literally(stream)


@every
@given(stream=streams, places=st.lists(st.floats(0, 1), max_size=12), bound=st.integers(1, 12))
def test_bounds_do_not_depend_on_the_chunks(stream: bytes, places: list[float], bound: int) -> None:
    """Whether a bound is broken, and what comes before that, is the stream's doing and not the network's."""

    def outcome(chunks: Iterable[bytes]) -> tuple[list[DecodedEvent], type[EventStreamError] | None]:
        decoder = Decoder(max_line_bytes=bound, max_event_bytes=bound)
        dispatched: list[DecodedEvent] = []
        try:
            for chunk in (*chunks, b""):
                dispatched += decoder.feed(chunk)
        except EventStreamError as error:
            return dispatched, type(error)
        return dispatched, None

    assert outcome(cut(stream, places)) == outcome([stream])
