"""The heads of topics as this process saw them last: where the next record is expected to follow."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, field, replace
from typing import TypeVar

from unbroken.logs.nats.record import FORGET, Record, State

__all__ = ["Heads", "Known"]

V = TypeVar("V")

TOPICS = 4096
"""Topics whose heads are remembered; of others they are read before an append."""

MARKED_TOPICS = 1024
MARKS = 128
"""Places that are remembered of a topic: about as many as readers that are at different pages of it."""


@dataclass(frozen=True, slots=True)
class Known:
    """The last record of a topic."""

    place: int = 0
    """0: there is none."""
    state: State | None = None
    """None: there is no topic; it was not made yet, or was forgotten."""
    record: Record | None = None

    @classmethod
    def of(cls, record: Record) -> Known:
        """Return what is known when this is the last record."""
        return cls(record.place, None if record.kind == FORGET else record.state, record)


@dataclass(slots=True)
class _Marks:
    """Places in the stream: up to the entry with this `seq` none is behind, and those after it all are."""

    epoch: str
    places: OrderedDict[int, int] = field(default_factory=OrderedDict)

    def put(self, seq: int, place: int) -> None:
        self.places[seq] = place
        self.places.move_to_end(seq)
        if len(self.places) > MARKS:
            self.places.popitem(last=False)


class Heads:
    """What is known of topics, until the connection is lost: then all of it is in doubt."""

    def __init__(self) -> None:
        self._known: OrderedDict[str, Known] = OrderedDict()
        self._marks: OrderedDict[str, _Marks] = OrderedDict()

    def get(self, topic: str) -> Known | None:
        """Return the head as it was seen last, without its entries: enough to append to it."""
        return self._known.get(topic)

    def take(self, topic: str, known: Known) -> None:
        """Note a head that was asked for."""
        record = known.record
        if record is not None:
            self.mark(topic, record)
            known = replace(known, record=replace(record, lines=(), payloads=b""))
        _put(self._known, topic, known, TOPICS)

    def hear(self, topic: str, record: Record) -> None:
        """Note a head that was told, if it is later than the one that is known; where none is, nobody needs it."""
        known = self._known.get(topic)
        if known is not None and record.place > known.place:
            self.take(topic, Known.of(record))

    def drop(self, topic: str) -> None:
        """Note nothing of a topic any more."""
        self._known.pop(topic, None)
        self._marks.pop(topic, None)

    def clear(self) -> None:
        """Doubt all."""
        self._known.clear()
        self._marks.clear()

    def mark(self, topic: str, record: Record) -> None:
        """Remember where a record is."""
        marks = self._marks.get(topic)
        if marks is None or marks.epoch != record.state.epoch:
            marks = _Marks(record.state.epoch)
        _put(self._marks, topic, marks, MARKED_TOPICS)
        marks.put(record.before, record.place - 1)
        marks.put(record.state.seq, record.place)

    def around(self, topic: str, epoch: str, after: int) -> tuple[tuple[int, int] | None, tuple[int, int] | None]:
        """Return the nearest mark at `after` or before, and the nearest beyond it."""
        marks = self._marks.get(topic)
        if marks is None or marks.epoch != epoch:
            return None, None
        lower = max((mark for mark in marks.places.items() if mark[0] <= after), default=None)
        upper = min((mark for mark in marks.places.items() if mark[0] > after), default=None)
        return lower, upper


def _put(kept: OrderedDict[str, V], topic: str, value: V, most: int) -> None:
    kept[topic] = value
    kept.move_to_end(topic)
    if len(kept) > most:
        kept.popitem(last=False)
