"""A log in memory whose history can be taken back, as a failover to a replica that lagged does."""

from __future__ import annotations

import time
from collections.abc import Sequence

from unbroken.logs import Draft, Entry, Position, Retention
from unbroken.logs.batch import link
from unbroken.logs.contract import Appended
from unbroken.logs.memory import MemoryLog

from .truth import Fact, Truth

__all__ = ["MeddledLog"]


class MeddledLog(MemoryLog):
    """Keeps an account of all that it ever had, in `truth`."""

    def __init__(self) -> None:
        super().__init__()
        self.truth = Truth()

    async def append(
        self,
        topic: str,
        drafts: Sequence[Draft],
        *,
        key: str | None = None,
        fence: int | None = None,
        close: bool = False,
    ) -> Appended:
        """Append, write it down, and only then tell of it."""
        watched = topic in self._watched
        self._watched.discard(topic)
        try:
            appended = await super().append(topic, drafts, key=key, fence=fence, close=close)
        finally:
            if watched:
                self._watched.add(topic)
        if not appended.duplicate:
            self._write_down(topic, appended.epoch, appended.entries)
            if watched:
                self.tell(topic, appended, close)
        return appended

    def _write_down(self, topic: str, epoch: str, entries: Sequence[Entry]) -> None:
        for entry in entries:
            place = (topic, Position(epoch, entry.seq, entry.tag))
            self.truth.facts[place] = Fact(entry.previous, entry.appended_at, entry.payload.decode())

    def tell(self, topic: str, appended: Appended, close: bool) -> None:
        """Tell the listener of what was appended."""
        self._open().on_entries(topic, appended.epoch, appended.entries, close)

    async def trim(self, topic: str, retention: Retention) -> int:
        """Trim, and write it down."""
        before = self._places(topic)
        gone = await super().trim(topic, retention)
        self.truth.trimmed.update(before[:gone])
        return gone

    def take_back(self, topic: str, count: int, anew: Sequence[str] = ()) -> None:
        """Lose the newest entries of a topic, with their keys; and have others written `anew`, in silence."""
        kept = self._topic(topic)
        places = self._places(topic)
        cut = places[len(places) - min(count, len(places)) :]
        if not cut:
            return
        first = kept.entries[len(places) - len(cut)]
        self.truth.undone.update(cut)
        del kept.entries[len(places) - len(cut) :]
        kept.seq, kept.tag = first.seq - 1, first.previous
        kept.size = sum(len(entry.payload) for entry in kept.entries)
        kept.keys = {key: use for key, use in kept.keys.items() if use.position.seq <= kept.seq}
        entries = link([Draft(f"data: {data}\n".encode()) for data in anew], kept.seq, kept.tag, time.time())
        kept.take(entries, time.time())
        self._write_down(topic, kept.epoch, entries)

    def lose(self, topic: str) -> None:
        """Lose a topic's history; the next look finds another epoch."""
        kept = self._topics.pop(topic, None)
        if kept is not None:
            self.truth.lost.add((topic, kept.epoch))

    def _places(self, topic: str) -> list[tuple[str, Position]]:
        kept = self._topics.get(topic)
        return [] if kept is None else [(topic, Position(kept.epoch, e.seq, e.tag)) for e in kept.entries]
