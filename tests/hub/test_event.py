"""Events: their frames byte for byte, and what cannot be published."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.hub.support import event as numbered
from unbroken import ServerSentEvent
from unbroken.errors import EncodeError
from unbroken.hub.event import Event, encode_payload
from unbroken.logs import Entry, Position
from unbroken.wire import Decoder

HERE = Position("ab12", 7, "00ff00ff")


@pytest.mark.parametrize(
    ("data", "kind", "block"),
    [
        ("x", None, b"data: x\n"),
        ("a\nb\r\nc\rd", None, b"data: a\ndata: b\ndata: c\ndata: d\n"),
        ("", None, b"data:\n"),
        ("ü€", None, "data: ü€\n".encode()),
        (None, None, b"data: null\n"),
        (False, None, b"data: false\n"),
        ({"state": "paid"}, "order", b'event: order\ndata: {"state":"paid"}\n'),
        ([1, "a"], None, b'data: [1,"a"]\n'),
        (ServerSentEvent("x", event="e", retry=5), None, b"event: e\nretry: 5\ndata: x\n"),
        (ServerSentEvent(comment="c"), None, b": c\n"),
        (ServerSentEvent(None, event="e"), None, b"event: e\n"),
    ],
)
def test_a_payload_is_the_block_without_its_id(data: object, kind: str | None, block: bytes) -> None:
    """Text goes as it is, line by line, everything else as JSON, a ServerSentEvent as what it says."""
    assert encode_payload(data, kind, 1000) == block
    assert Event("t", HERE, block).frame == b"id: ab12.7.00ff00ff\n" + block + b"\n"


def test_a_frame_has_the_position_or_a_cursor_as_its_id() -> None:
    """With one topic the id is the position; over several it is whatever the connection's cursor is."""
    event = Event("t", HERE, b"data: x\n")
    assert event.id == "ab12.7.00ff00ff"
    assert event.frame_as("v1.abc") == b"id: v1.abc\ndata: x\n\n"
    assert event.frame is event.frame, "encoded once"
    decoder = Decoder()
    (decoded,) = decoder.feed(event.frame)
    assert (decoded.event, decoded.data, decoded.last_event_id) == ("message", "x", "ab12.7.00ff00ff")


def test_an_event_reads_its_own_fields() -> None:
    """Type, data and JSON are what was published; without a type it is a `message`."""
    event = Event("t", HERE, encode_payload({"n": [1, 2]}, "count", 1000))
    assert (event.event, event.data, event.json()) == ("count", '{"n":[1,2]}', {"n": [1, 2]})
    assert repr(event) == "<Event t ab12.7.00ff00ff count>"
    plain = Event("t", HERE, encode_payload("a\nb", None, 1000))
    assert (plain.event, plain.data) == ("message", "a\nb")
    with pytest.raises(json.JSONDecodeError):
        plain.json()


def test_a_block_that_dispatches_nothing_reads_as_empty() -> None:
    """A comment or a retry may be published; there is no data in it."""
    event = Event("t", HERE, encode_payload(ServerSentEvent(retry=5), None, 1000))
    assert (event.event, event.data) == ("message", "")


def test_an_event_is_made_of_a_log_entry() -> None:
    """Position and link are the entry's."""
    event = Event.of("t", "ab12", Entry(7, "00ff00ff", "11", b"data: x\n", 0.0))
    assert (event.position, event.previous, event.topic) == (HERE, "11", "t")
    assert numbered(2).previous == numbered(1).position.tag


@pytest.mark.parametrize(
    ("data", "kind", "words"),
    [
        (ServerSentEvent("x", id="1"), None, "without event= and without an id: ids are ours"),
        (ServerSentEvent("x"), "e", "without event= and without an id"),
        ("x", "stream-end", "event='stream-end' is a control event's"),
        (ServerSentEvent("x", event="stream-gap"), None, "does not begin with 'stream-'"),
        ("x", "a\nb", "a line feed"),
        ("x", "a\0", "a NUL"),
        (b"bytes", None, "bytes"),
        ("\ud800", None, "a lone surrogate"),
        ({1: object()}, None, "no JSON form"),
        (float("nan"), None, "JSON"),
    ],
)
def test_what_breaks_the_wire_is_refused(data: Any, kind: str | None, words: str) -> None:
    """The error says what was wrong, before anything is stored."""
    with pytest.raises(EncodeError) as caught:
        encode_payload(data, kind, 1000)
    assert words in str(caught.value)


def test_an_event_has_a_size_limit() -> None:
    """It counts the block's bytes; the text says how many, the limit, and what to do."""
    assert len(encode_payload("x" * 93, None, 100)) == 100
    with pytest.raises(EncodeError, match=r"the event has 101 bytes, and the hub takes 100: .*Hub\(max_event_bytes="):
        encode_payload("x" * 94, None, 100)
    with pytest.raises(EncodeError, match="has 107 bytes"):
        encode_payload("ü" * 50, None, 100)
