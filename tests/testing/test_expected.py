from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable
from typing import Any
from unittest.mock import ANY

import pytest

from unbroken.errors import ConfigurationError, StreamStalled
from unbroken.testing import (
    DeadlineError,
    StreamEndedError,
    expect_events,
    open_stream,
    run_with_virtual_clock,
)
from unbroken.testing.comparison import ExpectedEvent
from unbroken.wire import DecodedEvent, Decoder, ServerSentEvent
from unbroken.wire.encoder import encode

pytestmark = pytest.mark.core

BODY = b'id: 1\nevent: tick\ndata: {"n": 1}\n\ndata: two\ndata: lines\n\nid: 3\ndata: [1, 2]\n\n'
EVENTS = Decoder().feed(BODY)


async def given(events: Iterable[DecodedEvent] = EVENTS) -> AsyncIterator[DecodedEvent]:
    """Events as any client gives them."""
    for event in events:
        yield event


async def then_mute(events: Iterable[DecodedEvent]) -> AsyncIterator[DecodedEvent]:
    """The same, on a stream that stays open."""
    for event in events:
        yield event
    await asyncio.sleep(3600)


def expecting(
    *expected: ExpectedEvent, source: AsyncIterator[DecodedEvent] | None = None, timeout: float = 5
) -> list[DecodedEvent]:
    """What `expect_events` returns of the three events."""
    return run_with_virtual_clock(expect_events(source or given(), expected, timeout=timeout))


@pytest.mark.parametrize(
    "first",
    [
        ("tick", '{"n": 1}'),
        ("tick", {"n": 1}),
        ("tick", {"n": ANY}),
        ("tick", ANY),
        (ANY, {"n": 1}, "1"),
        {"event": "tick"},
        {"id": "1"},
        {"data": {"n": 1}},
        ServerSentEvent({"n": 1}, event="tick"),
        ServerSentEvent({"n": 1}, event="tick", id="1"),
        DecodedEvent("tick", '{"n": 1}', "1"),
    ],
    ids=str,
)
def test_an_event_can_be_said_in_many_ways(first: ExpectedEvent) -> None:
    """Text is compared as text and anything else as JSON; what is not named is not compared."""
    assert expecting(first) == EVENTS[:1]


def test_a_whole_stream_in_its_order() -> None:
    """A plain text is a plain event; what was read is returned; what is behind is left."""

    async def main() -> None:
        source = given()
        assert await expect_events(source, [("tick", {"n": 1}), "two\nlines"]) == EVENTS[:2]
        assert await anext(source) == EVENTS[2]

    asyncio.run(main())


def test_json_is_compared_as_it_is_on_the_wire() -> None:
    """A tuple is what the stream can say of it: a list."""
    assert expecting({"event": "tick"}, {"event": "message"}, ("message", (1, 2))) == EVENTS


@pytest.mark.parametrize(
    ("expected", "data"),
    [(True, "1"), (1, "true"), (0, "false"), ({"n": [True]}, '{"n": [1]}'), ({"n": (1, ANY)}, '{"n": [true, 2]}')],
    ids=str,
)
def test_a_truth_is_no_number(expected: object, data: str) -> None:
    """As in JSON, and unlike in Python."""
    with pytest.raises(AssertionError, match="its data"):
        expecting(("t", expected), source=given([DecodedEvent("t", data, "")]))


@pytest.mark.parametrize("end", ["\r\n", "\r", "\n"], ids=repr)
def test_what_is_sent_is_compared_as_it_is_received(end: str) -> None:
    """A `ServerSentEvent` whose data has lines agrees with itself, whatever ends them."""
    sent = ServerSentEvent(f"a{end}{end}b", event="t")
    expecting(sent, source=given(Decoder().feed(encode(sent))))


def test_a_source_may_make_its_iterator() -> None:
    """As anything that `async for` takes."""

    class Feed:
        def __aiter__(self) -> AsyncIterator[DecodedEvent]:
            return given()

    assert asyncio.run(expect_events(Feed(), [{"event": "tick"}])) == EVENTS[:1]


@pytest.mark.parametrize("thing", [{"event": "tick"}, "text", 1], ids=str)
def test_what_is_no_event_is_not_compared(thing: Any) -> None:
    """The text says that the source is wrong, and not what is expected."""
    with pytest.raises(ConfigurationError, match="the source gave"):
        expecting({"event": "tick"}, source=given([thing]))


@pytest.mark.parametrize(
    ("first", "differs"),
    [
        (("tock", {"n": 1}), "event"),
        (("tick", {"n": 2}), "data"),
        (("tick", '{"n":1}'), "data"),
        (("tick", {1, 2}), "data"),
        (("tick", object()), "data"),
        (("tick", {"n": 1}, "2"), "id"),
        ("tick", "event and data"),
        (ServerSentEvent({"n": 1}), "event"),
        (DecodedEvent("tick", '{"n": 1}', ""), "id"),
    ],
    ids=["event", "json", "text", "set", "no-json", "id", "plain", "sent", "decoded"],
)
def test_a_difference_is_named(first: ExpectedEvent, differs: str) -> None:
    """The first event that is not as expected ends the reading, and the text says in what it differs."""
    with pytest.raises(AssertionError, match=f"event 1 of 1 is not as expected: its {differs}\n"):
        expecting(first)


def test_a_difference_shows_both_sides_and_what_came_before() -> None:
    """What was expected stands beside what came, in the form in which it was compared."""
    with pytest.raises(AssertionError) as caught:
        expecting(("tick", {"n": ANY}), {"data": "two\nlines!"}, ("message", [1, 2], "3"), {"event": "end"})

    assert str(caught.value).splitlines() == [
        "event 2 of 4 is not as expected: its data",
        r"  data, expected: 'two\nlines!'",
        r"  data, got     : 'two\nlines'",
        r"       expected              got",
        r"""    1  tick {'n': <ANY>}     tick {"n": 1}""",
        r"  > 2  * 'two\nlines!'       message 'two\nlines'",
        r"    3  message [1,2] id='3'  -",
        r"    4  end                   -",
    ]


def test_long_data_is_shortened_side_by_side_and_whole_below() -> None:
    """A difference at the end of a long text can be seen."""
    with pytest.raises(AssertionError) as caught:
        expecting("x" * 100 + "a", source=given([DecodedEvent("message", "x" * 100 + "b", "")]))

    assert f"data, got     : '{'x' * 100}b'" in str(caught.value)
    assert max(map(len, str(caught.value).splitlines()[3:])) < 120


def test_a_stream_that_ends_too_soon_is_told_with_what_came() -> None:
    """Its end is a failure of the test, not the end of a loop."""
    with pytest.raises(
        AssertionError, match=r"event 2 of 2 did not come: the stream ended\n.*\n.* tick .*\n  > 2 .* -"
    ):
        expecting({"event": "tick"}, "more", source=given(EVENTS[:1]))


def test_a_silent_stream_is_told_with_what_came() -> None:
    """After `timeout` seconds for all of them together."""
    with pytest.raises(DeadlineError, match=r"event 2 of 2 did not come within 7 s\n.*\n.* tick"):
        expecting({"event": "tick"}, "more", source=then_mute(EVENTS[:1]), timeout=7)


def test_nothing_expected_reads_nothing() -> None:
    """Also of a silent stream."""
    assert expecting(source=then_mute([])) == []


def test_what_the_source_raises_says_what_came() -> None:
    """A client's own error passes, even one that is a TimeoutError, with the table as a note."""

    async def stalling() -> AsyncIterator[DecodedEvent]:
        yield EVENTS[0]
        raise StreamStalled("not a byte")

    with pytest.raises(StreamStalled, match="not a byte") as caught:
        expecting({"event": "tick"}, "more", source=stalling())
    assert "event 2 of 2 did not come" in caught.value.__notes__[0]


@pytest.mark.parametrize(
    "wrong",
    [{}, {"type": "tick"}, ("tick",), ("a", "b", "c", "d"), b"bytes", None, ServerSentEvent(comment="hi")],
    ids=str,
)
def test_what_is_no_event_is_refused_before_the_first_is_read(wrong: Any) -> None:
    """The text says what may be given."""
    with pytest.raises(ConfigurationError, match="is no event to expect: give"):
        expecting(wrong)


def test_a_driven_stream_waits_longer_than_its_own_deadline() -> None:
    """`timeout` is what counts; its own errors, which say what the application does, get the table as a note."""

    async def slow(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"text/event-stream")]})
        await asyncio.sleep(20)
        await send({"type": "http.response.body", "body": b"data: late\n\n", "more_body": False})

    async def main() -> None:
        async with open_stream(slow) as stream:
            with pytest.raises(DeadlineError, match=r"the application waits in .*slow") as caught:
                await expect_events(stream, ["late"], timeout=10)
            assert "event 1 of 1 did not come" in caught.value.__notes__[0]
            await expect_events(stream, ["late"], timeout=15)
            with pytest.raises(StreamEndedError):
                await expect_events(stream, ["later"])

    run_with_virtual_clock(main())
