"""Where a process stands in the topics that it watches."""

from __future__ import annotations

from dataclasses import dataclass

from unbroken.logs.contract import Entry

__all__ = ["ABSENT", "UNKNOWN", "Cursor"]


@dataclass(frozen=True, slots=True)
class Cursor:
    """The end of a topic, as far as it was told of."""

    epoch: str
    seq: int
    tag: str
    closed: bool

    def leads_to(self, end: Cursor, entries: tuple[Entry, ...]) -> bool:
        """Say whether these are all that lies between this and another end."""
        reached = self.moved(end.epoch, entries, end.closed)
        return self.takes(end.epoch, entries) and reached == end

    def takes(self, epoch: str, entries: tuple[Entry, ...]) -> bool:
        """Say whether these follow."""
        if epoch != self.epoch and self != ABSENT:
            return False
        return not entries or (entries[0].seq == self.seq + 1 and entries[0].previous == self.tag)

    def moved(self, epoch: str, entries: tuple[Entry, ...], closed: bool) -> Cursor:
        """Return the end behind these."""
        seq, tag = (entries[-1].seq, entries[-1].tag) if entries else (self.seq, self.tag)
        return Cursor(epoch, seq, tag, closed or self.closed)


ABSENT = Cursor("", 0, "", closed=False)
"""Of a topic that there is not yet."""

UNKNOWN = Cursor("?", 2**63 - 1, "", closed=False)
"""Of a topic that was not looked at yet: behind every entry that there is."""
