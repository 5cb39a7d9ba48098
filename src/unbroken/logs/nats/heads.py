"""The heads of topics as this process saw them last: where the next record is expected to follow."""

from __future__ import annotations

import time
from collections import OrderedDict
from dataclasses import dataclass, replace

from unbroken.logs.nats.record import FORGET, Record, State

__all__ = ["Heads", "Known"]

TOPICS = 4096
"""Topics whose heads are remembered; of others they are read before an append."""

TRUST = 1.0
"""Seconds for which a head is believed that was neither written, read nor told again."""


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


class Heads:
    """What is known of topics, until the connection is lost: then all of it is in doubt."""

    def __init__(self) -> None:
        self._known: OrderedDict[str, tuple[Known, float]] = OrderedDict()

    def get(self, topic: str) -> Known | None:
        """Return the head as it was seen last, without its entries: enough to append to it."""
        known, seen = self._known.get(topic, (None, 0.0))
        # A stream may go back to an older copy, or begin anew, while our connection lives: then others fill its places
        # anew, and the server would take a record for the head that stands behind another.
        return known if time.monotonic() - seen < TRUST else None

    def take(self, topic: str, known: Known) -> None:
        """Note a head that was asked for."""
        record = known.record
        if record is not None:
            known = replace(known, record=replace(record, lines=(), payloads=b""))
        self._known[topic] = known, time.monotonic()
        self._known.move_to_end(topic)
        if len(self._known) > TOPICS:
            self._known.popitem(last=False)

    def hear(self, topic: str, record: Record) -> None:
        """Note a head that was told, if it is later than the one that is known; where none is, nobody needs it."""
        known, _ = self._known.get(topic, (None, 0.0))
        if known is not None and record.place > known.place:
            self.take(topic, Known.of(record))

    def drop(self, topic: str) -> None:
        """Note nothing of a topic any more."""
        self._known.pop(topic, None)

    def clear(self) -> None:
        """Doubt all."""
        self._known.clear()
