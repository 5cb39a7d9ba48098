"""Reading on from a cursor, at the reader's own pace: from what is at hand, else from the log.

A reader holds a position in each of its topics, and no events. Being slow costs it time and
nobody memory: what it has not read is in the log. That is the whole of a hand-over from
replay to live: read on until the positions are those of the topics, and join those who are live in
the same step of the loop, in which no topic can move.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from unbroken.hub.counters import Counters
from unbroken.hub.cursor import Digest
from unbroken.hub.event import Event
from unbroken.hub.gap import Gap, GapReason, before, find_gap
from unbroken.hub.numbering import Item, Numbering, Vector
from unbroken.hub.reading import OnGap
from unbroken.hub.topic import Topic
from unbroken.logs import Log, Page, Position

__all__ = ["Reader"]

PAGE_EVENTS = 128
"""Events that are read at once; the log bounds their bytes."""


class Reader:
    """One reader of up to 32 topics. To be used on the hub's loop only, by one task at a time."""

    __slots__ = ("_counters", "_log", "_on_gap", "_turn", "numbering", "topics", "vector")

    def __init__(
        self, topics: Sequence[Topic], numbering: Numbering, log: Log, on_gap: OnGap, counters: Counters
    ) -> None:
        self.topics = tuple(topics)
        self.numbering = numbering
        self.vector: Vector = tuple(topic.position for topic in topics)
        self._log = log
        self._on_gap = on_gap
        self._counters = counters
        self._turn = 0

    def is_current(self) -> bool:
        """Whether nothing is left to be read now."""
        return all(topic.position == position for topic, position in zip(self.topics, self.vector, strict=True))

    def is_over(self) -> bool:
        """Whether nothing is left, and nothing will ever come."""
        return all(topic.closed for topic in self.topics) and self.is_current()

    def lag(self) -> int:
        """Return how many events it is behind, as far as this process knows."""
        pairs = zip(self.topics, self.vector, strict=True)
        return sum(max(0, topic.position.seq - position.seq) for topic, position in pairs)

    # Where it begins.

    def resume(self, cursor: Position | Mapping[Digest, Position]) -> list[Gap]:
        """Begin behind a cursor, and return a gap for each topic of which it does not say where the reader was.

        A cursor over several topics leaves out one that its reader did not read: that begins now. A position says
        nothing of other topics, which its reader may have read or not; neither does a cursor of none of these.
        """
        positions = self.numbering.positions(cursor, [topic.position.epoch for topic in self.topics])
        for at, position in positions.items():
            self.move(at, position)
        if positions and not isinstance(cursor, Position):
            return []
        unsaid = [topic for at, topic in enumerate(self.topics) if at not in positions]
        return self.count([Gap(GapReason.UNREADABLE, topic.name, None, None, None) for topic in unsaid])

    async def gap_ahead(self) -> Gap | None:
        """Return the first gap that reading on will meet, without moving.

        Raises:
            LogUnavailable: the log cannot be read now.
        """
        for topic, position in zip(self.topics, self.vector, strict=True):
            if topic.since(position, 1) is None:
                gap = find_gap(topic.name, position, await self._log.read(topic.name, position.seq, 1))
                if gap is not None:
                    return gap
        return None

    async def begin_with_newest(self, count: int | None) -> None:
        """Begin so many events before the end of each topic, or with the oldest there is; None for all.

        Raises:
            LogUnavailable: the log cannot be read now.
        """
        for at, topic in enumerate(self.topics):
            head = await self._log.head(topic.name)
            oldest = head.first_seq - 1
            await self.move_behind(at, oldest if count is None else max(oldest, head.seq - count))

    async def move_behind(self, at: int, seq: int) -> Position | None:
        """Move behind `seq` in one topic, or before the oldest event, and return the position of what is next."""
        page = await self._log.read(self.topics[at].name, seq, 1)
        if not page.entries:
            self.move(at, page.head.position)
            return None
        self.move(at, before(page.head.epoch, page.entries[0]))
        return _last(page)

    def move(self, at: int, position: Position) -> None:
        """Set the position in one topic."""
        self.vector = (*self.vector[:at], position, *self.vector[at + 1 :])

    def count(self, gaps: list[Gap]) -> list[Gap]:
        """Count gaps that were found elsewhere, and return them."""
        for gap in gaps:
            self._counters.gaps[gap.reason] += 1
        return gaps

    # How it goes on.

    def at_hand(self) -> Sequence[Event] | None:
        """Return what comes next if it is at hand, and move behind it; empty when current, None to ask the log."""
        for at in self._turns():
            events = self.topics[at].since(self.vector[at], PAGE_EVENTS)
            if events:
                self.move(at, events[-1].position)
                self._counters.replayed += len(events)
            if events or events is None:
                return events
        return ()

    async def read(self) -> Sequence[Item]:
        """Return what comes next, a gap in its place, and move behind it; empty when current.

        Raises:
            LogUnavailable: the log was asked and cannot be read now.
        """
        while (events := self.at_hand()) is None:
            at = next(at for at in self._turns() if self.topics[at].position != self.vector[at])
            items = await self._read_log(at)
            if items:
                return items
        return events

    def _turns(self) -> Iterator[int]:
        """Go through the topics, beginning behind the one that was read last: a busy one hides no other."""
        count = len(self.topics)
        self._turn = (self._turn + 1) % count
        return (at % count for at in range(self._turn, self._turn + count))

    async def _read_log(self, at: int) -> Sequence[Item]:
        topic, position = self.topics[at], self.vector[at]
        page, events = await topic.page(position.seq, PAGE_EVENTS)
        gap = find_gap(topic.name, position, page)
        if gap is not None:
            if gap.reason is not GapReason.TRIMMED:
                await topic.refresh()  # what it has at hand may be of the history that was lost
            return (await self._skip(at, gap, page),)
        if page.entries:
            self.move(at, _last(page))
            self._counters.replayed += len(page.entries)
            return events
        # The log has nothing more: then it is the topic's mirror that is behind, or beside it.
        await topic.refresh()
        return ()

    async def _skip(self, at: int, gap: Gap, page: Page) -> Gap:
        """Move to the other side of a gap, and return it as it is then."""
        following, missed = gap.next, gap.missed
        is_all_new = gap.reason is GapReason.EPOCH or (self._on_gap == "earliest" and gap.missed is None)
        if self._on_gap == "latest" or not (page.entries or is_all_new):
            missed = page.head.seq - self.vector[at].seq if gap.reason is GapReason.TRIMMED else None
            self.move(at, page.head.position)
            following = None
        elif is_all_new:
            # The page was read behind a number of another history; of this one all is new, or taken for that.
            following = await self.move_behind(at, 0)
        else:
            self.move(at, before(page.head.epoch, page.entries[0]))
        self._counters.gaps[gap.reason] += 1
        return Gap(gap.reason, gap.topic, gap.after, following, missed)


def _last(page: Page) -> Position:
    entry = page.entries[-1]
    return Position(page.head.epoch, entry.seq, entry.tag)
