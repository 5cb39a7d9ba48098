"""The ids of one connection: positions, or cursors over several topics."""

from __future__ import annotations

from collections.abc import Mapping

from tests.hub.support import event
from unbroken.hub.cursor import digest_of, read_cursor
from unbroken.hub.gap import Gap, GapReason, encode_gap
from unbroken.hub.numbering import Numbering
from unbroken.logs import Position

ONE, TWO = Position("aa", 3, "00000003"), Position("bb", 0, "")


def read(text: str) -> Mapping[bytes, Position]:
    """Return what a composite cursor says."""
    cursor = read_cursor(text, b"")
    assert isinstance(cursor, Mapping)
    return cursor


def test_one_topic_is_numbered_by_its_positions() -> None:
    """The id is the position, and the frame that all share is used as it is."""
    numbering = Numbering(["t"], b"")
    assert numbering.id_of((ONE,)) == "aa.3.00000003"
    following = event(4)
    assert numbering.after((ONE,), following) == (following.position,)
    assert numbering.frame(following, (following.position,)) is following.frame


def test_several_topics_are_numbered_by_a_cursor() -> None:
    """Behind an event only its own topic's position has moved; the id says all of them."""
    numbering = Numbering(["t", "u"], b"")
    vector = numbering.after((ONE, TWO), event(4))
    assert vector == (Position("aa", 4, "00000004"), TWO)
    assert read(numbering.id_of(vector)) == {digest_of("t"): vector[0], digest_of("u"): TWO}
    assert numbering.frame(event(4), vector) == b"id: %b\ndata: 4\n\n" % numbering.id_of(vector).encode()


def test_blocks_are_numbered_one_after_the_other() -> None:
    """Events of several topics and gaps in between: a gap has no id, and each event's id says all that came before."""
    numbering = Numbering(["t", "u"], b"")
    other = event(1, topic="u", epoch="bb")
    gap = Gap(GapReason.TRIMMED, "u", TWO, None, 1)
    frames, told = numbering.frames([event(4), gap, other], (ONE, TWO))
    middle, end = (event(4).position, TWO), (event(4).position, other.position)
    assert frames == [event(4).frame_as(numbering.id_of(middle)), encode_gap(gap), other.frame_as(numbering.id_of(end))]
    assert told == end
    assert numbering.frames([], (ONE, TWO)) == ([], (ONE, TWO))


def test_a_reader_is_primed_by_an_id_alone() -> None:
    """A block without data sets the last event ID and dispatches nothing; without a place there is none."""
    assert Numbering(["t"], b"").prime((ONE,)) == b"id: aa.3.00000003\n\n"
    assert Numbering(["t"], b"").prime(None) == b""


def test_a_cursor_leads_to_the_topics_it_names() -> None:
    """A composite one by their names, whatever the set of topics is now; those it leaves out are left out."""
    wide, narrow = Numbering(["t", "u"], b""), Numbering(["u", "v", "w"], b"")
    cursor = read(wide.id_of((ONE, TWO)))
    assert wide.positions(cursor, ["aa", "bb"]) == {0: ONE, 1: TWO}
    assert narrow.positions(cursor, ["bb", "cc", "dd"]) == {0: TWO}
    assert Numbering(["x"], b"").positions(cursor, ["aa"]) == {}


def test_a_position_alone_is_of_the_topic_with_its_epoch() -> None:
    """With one topic it is of that one, whatever its epoch; with several the epoch tells, or none is meant."""
    assert Numbering(["t"], b"").positions(ONE, ["cc"]) == {0: ONE}
    assert Numbering(["t", "u"], b"").positions(TWO, ["aa", "bb"]) == {1: TWO}
    assert Numbering(["t", "u"], b"").positions(ONE, ["cc", "dd"]) == {}
