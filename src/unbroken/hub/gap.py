"""What a reader has missed: found by holding its position against a page of the log."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from unbroken.logs import Entry, Head, Page, Position
from unbroken.wire import encode_control

__all__ = ["Gap", "GapReason", "before", "encode_gap", "find_gap"]


class GapReason(StrEnum):
    """Why events are missing."""

    TRIMMED = "trimmed"
    """The retention dropped them."""
    EPOCH = "epoch"
    """The topic's history was lost, and another began."""
    ROLLBACK = "rollback"
    """The log holds less than the reader has seen: what came last was lost."""
    FORK = "fork"
    """The log holds something else where the reader was: what came last was lost, and written anew."""
    UNREADABLE = "unreadable"
    """The cursor is none of this hub's, so where the reader was is not known."""
    OVERFLOW = "overflow"
    """The reader was too slow, and asked for the newest instead of all (`overflow="drop_oldest"`)."""


@dataclass(frozen=True, slots=True)
class Gap:
    """Events of one topic that a reader has not seen and will not see."""

    reason: GapReason
    topic: str
    after: Position | None
    """The last position that the reader had; None where it is not known."""
    next: Position | None
    """The position of the event that comes next, None if that is not yet published."""
    missed: int | None
    """How many events; None where nobody can know: what was lost is not there to be counted."""

    def __str__(self) -> str:
        count = "an unknown number of events" if self.missed is None else f"{self.missed} events"
        return f"{count} of topic {self.topic!r} ({self.reason})"


def encode_gap(gap: Gap) -> bytes:
    """Return the control event that tells of a gap. It has no id: a reader that did not see it is told again."""
    return encode_control(
        "stream-gap",
        {
            "reason": str(gap.reason),
            "topic": gap.topic,
            "after": None if gap.after is None else str(gap.after),
            "next": None if gap.next is None else str(gap.next),
            "missed": gap.missed,
        },
    )


def find_gap(topic: str, position: Position, page: Page) -> Gap | None:
    """Return what lies between `position` and the first entry of a page that was read after it, or None for nothing.

    Counting alone (epoch and seq) misses a history that was cut and written anew: after a
    failover the same numbers carry other events. The link to the tag before shows it.
    """
    head, first = page.head, page.entries[0] if page.entries else None
    if position.epoch != head.epoch:
        return _gap(GapReason.EPOCH, topic, position, head, first)
    if position.seq > head.seq:
        return _gap(GapReason.ROLLBACK, topic, position, head, None)
    if position.seq == head.seq:
        return None if position.tag == head.tag else _gap(GapReason.FORK, topic, position, head, None)
    if first is None or first.seq > position.seq + 1:
        missed = (head.seq if first is None else first.seq - 1) - position.seq
        return _gap(GapReason.TRIMMED, topic, position, head, first, missed)
    return None if first.previous == position.tag else _gap(GapReason.FORK, topic, position, head, first)


def before(epoch: str, entry: Entry) -> Position:
    """Return the position behind which `entry` comes without a gap."""
    return Position(epoch, entry.seq - 1, entry.previous)


def _gap(
    reason: GapReason, topic: str, after: Position, head: Head, first: Entry | None, missed: int | None = None
) -> Gap:
    following = None if first is None else Position(head.epoch, first.seq, first.tag)
    return Gap(reason, topic, after, following, missed)
