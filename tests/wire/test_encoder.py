"""Events to bytes, byte for byte."""

from __future__ import annotations

from enum import StrEnum
from typing import Any

import pytest

from unbroken.errors import EncodeError
from unbroken.wire import (
    HEARTBEAT,
    DecodedEvent,
    Decoder,
    ServerSentEvent,
    encode,
    encode_comment,
    encode_control,
    encode_item,
)

pytestmark = pytest.mark.core


class Kind(StrEnum):
    TICK = "tick"


class Chameleon(str):
    """A str that formats and searches itself as something else."""

    __slots__ = ()

    def __format__(self, _: str) -> str:
        return "x\nid: injected"

    def __contains__(self, _: object) -> bool:
        return False

    __str__ = __repr__ = lambda self: "x\nid: injected"


ENCODED = [
    ({"data": "a"}, b"data: a\n\n"),
    ({"data": ""}, b"data:\n\n"),
    ({"data": " a "}, b"data:  a \n\n"),
    ({"data": "é€😀"}, "data: é€😀\n\n".encode()),
    ({"data": "data: a"}, b"data: data: a\n\n"),
    ({"data": {"a": [1, None]}}, b'data: {"a":[1,null]}\n\n'),
    ({"data": 0}, b"data: 0\n\n"),
    ({"data": False}, b"data: false\n\n"),
    ({"data": Kind.TICK}, b"data: tick\n\n"),
    ({"event": "tick"}, b"event: tick\n\n"),
    ({"event": Kind.TICK}, b"event: tick\n\n"),
    ({"id": "7"}, b"id: 7\n\n"),
    ({"id": ""}, b"id: \n\n"),
    ({"id": " 7"}, b"id:  7\n\n"),
    ({"retry": 1500}, b"retry: 1500\n\n"),
    ({"retry": 0}, b"retry: 0\n\n"),
    ({"comment": "hello"}, b": hello\n\n"),
    ({"comment": ""}, b":\n\n"),
    ({"comment": "a\r\nb\n\rc"}, b": a\n: b\n:\n: c\n\n"),
    (
        {"data": "a\nb", "event": "tick", "id": "7", "retry": 9, "comment": "c"},
        b": c\nid: 7\nevent: tick\nretry: 9\ndata: a\ndata: b\n\n",
    ),
]


@pytest.mark.parametrize(("fields", "expected"), ENCODED)
def test_encode(fields: dict[str, Any], expected: bytes) -> None:
    """Each field is one line, the data last, and a blank line ends the event."""
    assert encode(ServerSentEvent(**fields)) == expected


@pytest.mark.parametrize("send", [encode_item, lambda text: encode(ServerSentEvent(text))], ids=["item", "event"])
@pytest.mark.parametrize(
    ("text", "lines"),
    [
        ("a\nb", b"data: a\ndata: b\n"),
        ("a\rb", b"data: a\ndata: b\n"),
        ("a\r\nb", b"data: a\ndata: b\n"),
        ("a\n\rb", b"data: a\ndata:\ndata: b\n"),
        ("a\r\r\nb", b"data: a\ndata:\ndata: b\n"),
        ("a\n", b"data: a\ndata:\n"),
        ("\n", b"data:\ndata:\n"),
        ("", b"data:\n"),
        ("a\v\f\x1c\x1d\x1e\x85\u2028\u2029b", "data: a\v\f\x1c\x1d\x1e\x85\u2028\u2029b\n".encode()),
        ("a\0b", b"data: a\0b\n"),
    ],
)
def test_text_goes_line_by_line(send: Any, text: str, lines: bytes) -> None:
    """CR, LF and CRLF part lines of data, and nothing else does; a last line break is kept."""
    assert send(text) == lines + b"\n"


@pytest.mark.parametrize(
    ("item", "expected"),
    [
        ("Hello", b"data: Hello\n\n"),
        ("data: Hello\n\n", b"data: data: Hello\ndata:\ndata:\n\n"),
        (Kind.TICK, b"data: tick\n\n"),
        (ServerSentEvent("a", id="1"), b"id: 1\ndata: a\n\n"),
        (b"event: raw\n\n", b"event: raw\n\n"),
        (bytearray(b"raw"), b"raw"),
        (memoryview(b"a raw frame")[2:5], b"raw"),
        (b"", b""),
        (None, b"data: null\n\n"),
        (42, b"data: 42\n\n"),
        ({"text": "a\nb"}, b'data: {"text":"a\\nb"}\n\n'),
        ([], b"data: []\n\n"),
    ],
)
def test_encode_item(item: object, expected: bytes) -> None:
    """A str is data, an event is encoded, bytes are a frame, and the rest is JSON."""
    encoded = encode_item(item)
    assert encoded == expected
    assert type(encoded) is bytes


def test_a_subclass_of_str_cannot_leave_its_line() -> None:
    """Data is the characters a str is made of, whatever its class says when asked."""
    text = Chameleon("a\rid: 1")
    assert encode_item(text) == encode(ServerSentEvent(text)) == b"data: a\ndata: id: 1\n\n"


SURROGATE = "a\ud800b"


@pytest.mark.parametrize(
    "send",
    [
        lambda: encode_item(SURROGATE),
        lambda: encode_item([SURROGATE]),
        lambda: encode_item("\n" + SURROGATE),
        lambda: encode(ServerSentEvent(SURROGATE)),
        lambda: encode(ServerSentEvent(id=SURROGATE)),
        lambda: encode(ServerSentEvent(event=SURROGATE)),
        lambda: encode(ServerSentEvent(comment=SURROGATE)),
        lambda: encode_comment(SURROGATE),
    ],
    ids=["text", "json", "lines", "data", "id", "event", "comment", "bare comment"],
)
def test_a_lone_surrogate_is_refused(send: Any) -> None:
    """What UTF-8 cannot carry is an EncodeError that names the character, not a UnicodeEncodeError."""
    with pytest.raises(EncodeError, match=r"U\+D800, a lone surrogate"):
        send()


def test_encode_comment() -> None:
    """A comment of several lines stays a comment."""
    assert encode_comment("a\ndata: b") == b": a\n: data: b\n\n"


def test_a_comment_is_a_str() -> None:
    """Anything but a str as a comment is refused."""
    with pytest.raises(EncodeError, match="comment=1 is of type int"):
        encode_comment(1)  # type: ignore[arg-type]


def test_a_heartbeat_is_one_comment_and_no_event() -> None:
    """A heartbeat says that the stream lives and tells a client nothing else."""
    decoder = Decoder()
    assert decoder.feed(HEARTBEAT) == []
    assert decoder.comments == 1
    assert encode_comment("keep-alive") == HEARTBEAT


def test_encode_control() -> None:
    """A control event is named, carries JSON, and leaves the last event ID alone."""
    decoder = Decoder()
    decoder.feed(encode(ServerSentEvent("a", id="7")))
    frame = encode_control("stream-end", {"reason": "shutdown"})
    assert frame == b'event: stream-end\ndata: {"reason":"shutdown"}\n\n'
    assert decoder.feed(frame) == [DecodedEvent("stream-end", '{"reason":"shutdown"}', "7")]


@pytest.mark.parametrize("name", ["end", "", "xstream-end", "stream-end\ndata: x"])
def test_control_events_have_names_of_their_own(name: str) -> None:
    """A control event cannot pass for one of the application's, nor break its line."""
    with pytest.raises(EncodeError, match="event="):
        encode_control(name, {})
