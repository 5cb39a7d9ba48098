"""The watched topics, and what is told of them."""

from __future__ import annotations

from collections.abc import Iterable

from unbroken.logs.contract import Entry, Listener
from unbroken.logs.postgres.batch import mark_of
from unbroken.logs.postgres.cursor import UNKNOWN, Cursor
from unbroken.logs.postgres.look import News

__all__ = ["Watched"]


class Watched:
    """Where this process stands in each watched topic. It tells the listener what follows on that, once."""

    def __init__(self, listener: Listener) -> None:
        self._listener = listener
        self._cursors: dict[str, Cursor] = {}
        self._marks: dict[str, set[str]] = {}
        self.to_look_at: set[str] = set()

    def __len__(self) -> int:
        return len(self._cursors)

    def add(self, topic: str) -> None:
        """Watch a topic, from the next look at it on."""
        if topic not in self._cursors:
            self._cursors[topic] = UNKNOWN
            self._marks.setdefault(mark_of(topic), set()).add(topic)
            self.to_look_at.add(topic)

    def discard(self, topic: str) -> None:
        """Watch it no more."""
        if self._cursors.pop(topic, None) is not None:
            self.to_look_at.discard(topic)
            marked = self._marks[mark_of(topic)]
            marked.discard(topic)
            if not marked:
                del self._marks[mark_of(topic)]

    def is_known(self, topic: str) -> bool:
        """Say whether it was looked at."""
        return self._cursors.get(topic, UNKNOWN) is not UNKNOWN

    def forget_ends(self) -> None:
        """Begin anew with all of them: what is told from the next look on follows on that."""
        self._cursors = dict.fromkeys(self._cursors, UNKNOWN)
        self.look_at_all()

    def look_at_all(self) -> None:
        """Have all of them looked at."""
        self.to_look_at = set(self._cursors)

    def take(self) -> dict[str, Cursor]:
        """Return the topics that are to be looked at."""
        names, self.to_look_at = self.to_look_at, set()
        return {name: self._cursors[name] for name in names}

    def note_woken(self, payload: str) -> None:
        """Have those looked at of which a notification speaks, unless that is known; all, if it names none."""
        if not payload:
            self.look_at_all()
        for token in payload.split():
            mark, _, end = token.partition(".")
            for name in self._marks.get(mark, ()):
                if not _is_known(self._cursors[name], end):
                    self.to_look_at.add(name)

    def note_appended(self, topic: str, epoch: str, entries: tuple[Entry, ...], closed: bool) -> bool:
        """Tell of what this process has appended itself, if it follows. False: it is to be looked at."""
        cursor = self._cursors.get(topic)
        if cursor is None:
            return True
        if cursor is UNKNOWN or not cursor.takes(epoch, entries):
            self.to_look_at.add(topic)
            return False
        self._cursors[topic] = cursor.moved(epoch, entries, closed)
        self._listener.on_entries(topic, epoch, entries, closed)
        return True

    def note_found(self, since: dict[str, Cursor], found: dict[str, News]) -> None:
        """Tell what a look has found, and what it has left in doubt."""
        for topic, news in found.items():
            if topic in self._cursors:
                self._note(topic, since[topic], news)
        for topic in since.keys() - found.keys():
            if self._cursors.get(topic) is UNKNOWN:
                self._cursors[topic] = Cursor("", 0, "", closed=False)

    def doubt(self, topics: Iterable[str] | None) -> None:
        """Tell of a doubt."""
        self._listener.on_doubt(None if topics is None else tuple(topics))

    def _note(self, topic: str, since: Cursor, news: News) -> None:
        now, end = self._cursors[topic], news.end
        if now is not since and now.epoch == end.epoch and end.seq <= now.seq:
            return  # while it was looked at, we have appended more
        self._cursors[topic] = end
        if since is UNKNOWN:
            return
        entries = tuple(entry for entry in news.entries if entry.seq > now.seq)
        if not news.complete or not now.leads_to(end, entries):
            self._listener.on_doubt((topic,))
        elif entries or end.closed:
            self._listener.on_entries(topic, end.epoch, entries, end.closed)


def _is_known(cursor: Cursor, end: str) -> bool:
    epoch, _, seq = end.partition(".")
    closed = seq.endswith("c")
    number = seq.removesuffix("c")
    return epoch == cursor.epoch and number.isdecimal() and int(number) <= cursor.seq and (cursor.closed or not closed)
