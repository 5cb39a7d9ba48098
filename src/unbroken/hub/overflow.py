"""What becomes of a reader that was live and fell behind, other than that it reads on from the log."""

from __future__ import annotations

from collections.abc import Hashable, Sequence

from unbroken.errors import LogUnavailable
from unbroken.hub.counters import Counters
from unbroken.hub.event import Event
from unbroken.hub.gap import Gap, GapReason
from unbroken.hub.numbering import Item
from unbroken.hub.reader import Reader
from unbroken.hub.reading import Reading

__all__ = ["Overrun", "read_behind"]


class Overrun(Exception):  # noqa: N818 - nobody's error: the reader asked to be closed
    """A reader is behind by more than it may be."""


async def read_behind(reader: Reader, reading: Reading, counters: Counters) -> Sequence[Item]:
    """Return what comes next for a reader that fell behind, as its `overflow` wants it.

    Raises:
        Overrun: it is behind by more than `max_lag`, and is to be closed.
        LogUnavailable: the log was asked and cannot be read now.
    """
    if reading.overflow == "conflate":
        return await _conflate(reader, reading, counters)
    if reading.overflow == "resume" or reader.lag() <= reading.max_lag:
        return await reader.read()
    if reading.overflow == "close":
        raise Overrun
    return await _drop_oldest(reader, reading, counters)


async def _drop_oldest(reader: Reader, reading: Reading, counters: Counters) -> Sequence[Item]:
    """Move to the newest `max_lag` events, and tell of the gap. Each topic has its share of them."""
    gaps: list[Gap] = []
    share = max(1, reading.max_lag // len(reader.topics))
    for at, topic in enumerate(reader.topics):
        after, newest = reader.vector[at], topic.position
        if after.epoch == newest.epoch and newest.seq - share > after.seq:
            try:
                following = await reader.move_behind(at, newest.seq - share)
            except LogUnavailable:
                if gaps:
                    break  # what was passed over must be told now: the reader has moved
                raise
            missed = reader.vector[at].seq - after.seq
            if reader.vector[at].epoch != after.epoch or missed <= 0:
                reader.move(at, after)  # the log has less than was published: what gap that is, reading on finds out
                continue
            counters.dropped += missed
            counters.gaps[GapReason.OVERFLOW] += 1
            gaps.append(Gap(GapReason.OVERFLOW, topic.name, after, following, missed))
    return gaps or await reader.read()


async def _conflate(reader: Reader, reading: Reading, counters: Counters) -> Sequence[Item]:
    """Read all there is and return the last event of each key, in the order in which they were published."""
    newest: dict[Hashable, Item] = {}
    count = 0
    while len(newest) < reading.max_lag:
        try:
            items = await reader.read()
        except LogUnavailable:
            if newest:
                break  # the reader has moved behind what is held here
            raise
        if not items:
            break
        for item in items:
            if isinstance(item, Event) and not reading.passes(item):
                continue  # before it takes the place of one that is wanted
            key = _key(item, reading)
            newest.pop(key, None)  # or it would keep the place of the one it takes the place of
            newest[key] = item
        count += len(items)
    counters.conflated += count - len(newest)
    return list(newest.values())


def _key(item: Item, reading: Reading) -> Hashable:
    if isinstance(item, Gap):
        return item
    # By topic in any case: over several, what was read last need not be what was published last.
    return (Event, item.topic, reading.conflate_by(item) if reading.conflate_by else item.event)
