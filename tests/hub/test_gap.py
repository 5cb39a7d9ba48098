"""What a reader has missed: a position held against a page."""

from __future__ import annotations

import json

import pytest

from tests.hub.support import tag_of
from unbroken.hub.gap import Gap, GapReason, before, encode_gap, find_gap
from unbroken.logs import Entry, Head, Page, Position
from unbroken.wire import Decoder


def at(seq: int, *, epoch: str = "aa", tag: str | None = None) -> Position:
    """Return a position whose tag follows from its number."""
    return Position(epoch, seq, tag_of(seq) if tag is None else tag)


def page(head: int, first: int, last: int, *, retained_from: int = 1, tag: str | None = None) -> Page:
    """Return a page of a log in which tags follow from their numbers."""
    entries = tuple(Entry(seq, tag_of(seq), tag_of(seq - 1), b"", 0.0) for seq in range(first, last + 1))
    return Page(Head("aa", head, tag_of(head) if tag is None else tag, retained_from), entries)


@pytest.mark.parametrize(
    ("position", "read"),
    [
        (at(0), page(0, 1, 0)),
        (at(0), page(5, 1, 5)),
        (at(3), page(5, 4, 5)),
        (at(3), page(5, 4, 4)),
        (at(5), page(5, 6, 5)),
        (at(5), page(5, 6, 5, retained_from=6)),
        (at(3), page(5, 4, 5, retained_from=4)),
    ],
)
def test_what_follows_on_has_no_gap(position: Position, read: Page) -> None:
    """Nothing new, all of it, a part of it; trimmed up to where the reader is."""
    assert find_gap("t", position, read) is None


@pytest.mark.parametrize(
    ("position", "read", "gap"),
    [
        # Trimmed: counted exactly, whether something is left or not.
        (at(2), page(9, 6, 9, retained_from=6), (GapReason.TRIMMED, 6, 3)),
        (at(0), page(9, 9, 9, retained_from=9), (GapReason.TRIMMED, 9, 8)),
        (at(2), page(9, 10, 9, retained_from=10), (GapReason.TRIMMED, None, 7)),
        # Another history: nobody can know how many.
        (at(2, epoch="bb"), page(9, 3, 9), (GapReason.EPOCH, 3, None)),
        (at(0, epoch="bb"), page(0, 1, 0), (GapReason.EPOCH, None, None)),
        (at(9, epoch="bb"), page(9, 10, 9), (GapReason.EPOCH, None, None)),
        # The log holds less than the reader has seen.
        (at(12), page(9, 13, 12), (GapReason.ROLLBACK, None, None)),
        (at(1), page(0, 2, 1), (GapReason.ROLLBACK, None, None)),
        # The log counts as far, with other events.
        (at(9, tag="beef"), page(9, 10, 9), (GapReason.FORK, None, None)),
        (at(5, tag="beef"), page(9, 6, 9), (GapReason.FORK, 6, None)),
        (at(0, tag="beef"), page(3, 1, 3), (GapReason.FORK, 1, None)),
    ],
)
def test_each_kind_of_gap_is_told_apart(
    position: Position, read: Page, gap: tuple[GapReason, int | None, int | None]
) -> None:
    """The reason, the last that was had, the next there is, and how many are missing where that can be known."""
    reason, following, missed = gap
    expected = Gap(reason, "t", position, None if following is None else at(following), missed)
    assert find_gap("t", position, read) == expected


def test_a_gap_is_a_control_event_without_an_id() -> None:
    """Its fields are JSON; a reader that did not see it is told again, since its id has not moved."""
    gap = Gap(GapReason.TRIMMED, "t", at(2), at(6), 3)
    block = encode_gap(gap)
    assert block == (
        b"event: stream-gap\n"
        b'data: {"reason":"trimmed","topic":"t","after":"aa.2.00000002","next":"aa.6.00000006","missed":3}\n\n'
    )
    unknown = encode_gap(Gap(GapReason.UNREADABLE, "t", None, None, None))
    decoder = Decoder()
    (decoded,) = decoder.feed(unknown)
    assert json.loads(decoded.data) == {
        "reason": "unreadable", "topic": "t", "after": None, "next": None, "missed": None,
    }  # fmt: skip
    assert decoder.last_event_id == ""


def test_a_gap_says_itself() -> None:
    """As the text of `StreamGap` has it."""
    assert str(Gap(GapReason.TRIMMED, "t", at(2), at(6), 3)) == "3 events of topic 't' (trimmed)"
    assert str(Gap(GapReason.EPOCH, "t", at(2), None, None)) == "an unknown number of events of topic 't' (epoch)"


def test_before_an_entry_there_is_no_gap() -> None:
    """The position behind which an entry follows."""
    entries = page(9, 6, 9, retained_from=6)
    assert before("aa", entries.entries[0]) == at(5)
    assert find_gap("t", before("aa", entries.entries[0]), entries) is None
