"""ServerSentEvent: what it takes, and what it refuses when it is built."""

from __future__ import annotations

from enum import IntEnum, StrEnum
from typing import Any

import pytest

from unbroken.errors import EncodeError
from unbroken.wire import ServerSentEvent
from unbroken.wire.event import MAX_RETRY

pytestmark = pytest.mark.core


class Kind(StrEnum):
    TICK = "tick"


class Delay(IntEnum):
    SHORT = 100


class Chameleon(str):
    """A str that formats itself as something else."""

    __slots__ = ()

    def __format__(self, _: str) -> str:
        return "x\ndata: injected"

    __str__ = __repr__ = lambda self: "x\ndata: injected"


def refusal(**fields: Any) -> str:
    """Return the text of the error that building an event with these fields raises."""
    with pytest.raises(EncodeError) as caught:
        ServerSentEvent(**fields)
    return str(caught.value)


def kept(field: str, value: Any) -> Any:
    """Return what an event built with this one field has in it."""
    return getattr(ServerSentEvent(**{field: value}), field)


def test_fields_are_kept_as_given() -> None:
    """The fields of an event are those of the wire, data alone also by position."""
    event = ServerSentEvent({"a": 1}, event="tick", id="7", retry=100, comment="hello")
    assert (event.data, event.event, event.id, event.retry, event.comment) == ({"a": 1}, "tick", "7", 100, "hello")


def test_an_event_is_a_value() -> None:
    """Two events of the same fields are equal, and neither can change."""
    event = ServerSentEvent("a", id="1")
    assert event == ServerSentEvent(data="a", id="1")
    with pytest.raises(AttributeError):
        event.id = "2"  # type: ignore[misc]


@pytest.mark.parametrize("field", ["event", "id"])
@pytest.mark.parametrize(
    ("character", "name"),
    [("\r", "a carriage return"), ("\n", "a line feed"), ("\0", "a NUL")],
    ids=["cr", "lf", "nul"],
)
def test_event_and_id_are_one_line(field: str, character: str, name: str) -> None:
    """What would end the line of an event type or an ID is refused, and named."""
    text = refusal(data="x", **{field: f"1{character}data: evil"})
    assert text.startswith(f"{field}=")
    assert name in text


@pytest.mark.parametrize("field", ["event", "id"])
def test_other_separators_are_text(field: str) -> None:
    """Only CR, LF and NUL are refused in an event type or an ID: nothing else ends a line."""
    text = " a\v\f\x1c\x85\u2028\ufeff:b "
    assert kept(field, text) == text


@pytest.mark.parametrize("field", ["event", "id", "comment"])
def test_text_fields_take_str_only(field: str) -> None:
    """A number as an ID is refused with the way to write it, and so are bytes."""
    assert f"{field}=42 is of type int" in refusal(data="x", **{field: 42})
    assert f"pass str({field})" in refusal(data="x", **{field: 42})
    assert f"{field}=b'1' is of type bytes" in refusal(data="x", **{field: b"1"})
    assert f"pass {field}.decode()" in refusal(data="x", **{field: b"1"})


@pytest.mark.parametrize("retry", [True, False, 1.0, "100", b"1"])
def test_retry_is_an_int(retry: object) -> None:
    """A retry that is no int, or a bool, is refused with its unit."""
    text = refusal(data="x", retry=retry)
    assert f"retry={retry!r} is of type {type(retry).__name__}" in text
    assert "milliseconds" in text


@pytest.mark.parametrize("retry", [-1, MAX_RETRY + 1])
def test_retry_has_a_range(retry: int) -> None:
    """A retry below 0, or beyond what a client can hold, is refused."""
    assert f"retry={retry} is outside 0 to {MAX_RETRY}" in refusal(retry=retry)


@pytest.mark.parametrize("retry", [10**5000, -(10**5000)], ids=["positive", "negative"])
def test_an_enormous_retry_is_refused_too(retry: int) -> None:
    """The refusal does not fail over a number that Python itself refuses to write."""
    assert "retry=an int of 16610 bits is outside" in refusal(retry=retry)


@pytest.mark.parametrize("retry", [0, MAX_RETRY])
def test_retry_takes_both_ends_of_its_range(retry: int) -> None:
    """0 and the largest retry are valid."""
    assert ServerSentEvent(retry=retry).retry == retry


@pytest.mark.parametrize("data", [b"data: x\n\n", bytearray(b"x"), memoryview(b"x")])
def test_bytes_are_no_data(data: object) -> None:
    """Bytes might be text or a frame: neither is guessed, both ways out are named."""
    text = refusal(data=data)
    assert "decode()" in text
    assert "yield the bytes themselves" in text


def test_an_event_without_fields_is_refused() -> None:
    """What would do nothing at the client is a mistake, and said to be one."""
    assert "without any field" in refusal()


@pytest.mark.parametrize(("field", "value"), [("event", ""), ("id", ""), ("retry", 0), ("comment", ""), ("data", "")])
def test_an_empty_field_is_a_field(field: str, value: object) -> None:
    """An empty text or 0 is not None: the event has that field."""
    assert kept(field, value) == value


def test_an_error_shows_a_long_value_shortened() -> None:
    """The value in an error's text is short, however long the value is."""
    assert len(refusal(data="x", id="1\n" * 1_000_000)) < 300


@pytest.mark.parametrize("field", ["event", "id", "comment"])
def test_subclasses_of_str_are_taken_for_their_text(field: str) -> None:
    """An enum's member is its value, and no subclass gets to choose other text later."""
    assert type(kept(field, Kind.TICK)) is str
    assert kept(field, Kind.TICK) == "tick"
    assert kept(field, Chameleon("green")) == "green"


def test_subclasses_of_int_are_taken_for_their_number() -> None:
    """An enum's member as retry is its number."""
    assert type(ServerSentEvent(retry=Delay.SHORT).retry) is int
