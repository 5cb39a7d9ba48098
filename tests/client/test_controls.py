"""Gaps, as a server tells of them."""

from __future__ import annotations

import json

import pytest

from unbroken.client import Gap
from unbroken.errors import StreamGap
from unbroken.hub.gap import Gap as HubGap
from unbroken.hub.gap import GapReason, encode_gap
from unbroken.logs import Position
from unbroken.wire import DecodedEvent

from .sessions import a_session, taken

TOLD = {"reason": "trimmed", "topic": "news", "after": "e.1.t", "next": "e.5.t", "missed": 3}
FRAME = f"id: 9\ndata: a\n\nevent: stream-gap\ndata: {json.dumps(TOLD)}\n\ndata: b\n\n".encode()


def test_a_gap_is_raised_and_reading_goes_on() -> None:
    """Nothing is lost without being told: by default a gap is an exception, at its place among the events."""
    session = a_session()
    session.received(FRAME)
    assert session.take().data == "a"
    with pytest.raises(StreamGap, match="3 events of topic 'news'") as raised:
        session.take()
    assert isinstance(raised.value.gap, Gap)
    assert (raised.value.gap.topic, raised.value.gap.missed) == ("news", 3)
    assert session.take().data == "b"


def test_a_gap_may_be_an_event() -> None:
    """With `gaps="event"` it comes as one, with what the server told."""
    session = a_session(gaps="event")
    session.received(FRAME)
    _, gap, _ = taken(session)
    assert isinstance(gap, Gap)
    assert (gap.event, gap.json(), gap.last_event_id) == ("stream-gap", TOLD, "9")
    assert (gap.reason, gap.topic, gap.after, gap.next, gap.missed) == ("trimmed", "news", "e.1.t", "e.5.t", 3)


def test_a_gap_may_be_ignored() -> None:
    """With `gaps="ignore"` it is counted."""
    session = a_session(gaps="ignore")
    session.received(FRAME)
    assert [event.data for event in taken(session)] == ["a", "b"]
    assert session.stats.gaps == 1


def test_a_hubs_gap_is_read_as_it_was_written() -> None:
    """What a hub encodes, whatever it knows of it, is what a client has."""
    place = Position("ab" * 8, 7, "cd" * 6)
    for written in (
        HubGap(GapReason.TRIMMED, "t", place, None, 2),
        HubGap(GapReason.EPOCH, "ü\n", None, place, None),
    ):
        session = a_session(gaps="event")
        session.received(encode_gap(written))
        (gap,) = taken(session)
        assert isinstance(gap, Gap)
        assert (gap.reason, gap.topic, gap.missed) == (written.reason, written.topic, written.missed)
        assert gap.after == (None if written.after is None else str(written.after))
        assert gap.next == (None if written.next is None else str(written.next))
        assert str(gap) == str(written)


@pytest.mark.parametrize(
    "change",
    [{"reason": None}, {"reason": "a\nb"}, {"topic": 5}, {"after": 1}, {"next": []}, {"missed": "3"}, {"missed": True}],
    ids=["reason", "lines", "topic", "after", "next", "missed", "bool"],
)
def test_an_event_of_that_name_and_another_form_is_an_event(change: dict[str, object]) -> None:
    """Another server may use the name for its own."""
    session = a_session()
    data = json.dumps(TOLD | change)
    session.received(f"event: stream-gap\ndata: {data}\n\n".encode())
    assert taken(session) == [DecodedEvent("stream-gap", data, "")]
