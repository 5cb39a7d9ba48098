"""Events that a server sends once more after a reconnection.

A server that replays from the last event ID *inclusive*, or from somewhere before it, repeats what was read. IDs are
opaque, and a server may give several events the same one, or begin to count anew after a restart: so the same ID alone
proves nothing. A duplicate is an event of the same ID, type and data, at the beginning of a new connection, and only as
often as it was read. At the first that is none the rest is new.
"""

from __future__ import annotations

from collections import Counter, deque

from unbroken.wire import DecodedEvent

__all__ = ["INHERITED", "Duplicates"]

INHERITED = "\0"
"""Stands for the ID of the connection before. WHATWG 9.2.6: no ID has U+0000, so none can be mistaken for it."""


class Duplicates:
    """Remembers the newest events that had an ID, as hashes: 8 bytes each, whatever their data."""

    __slots__ = ("_expected", "_restored", "_seen", "is_looking")

    def __init__(self, window: int, restored: str) -> None:
        self._seen = deque[int](maxlen=window)
        self._expected = Counter[int]()
        # After a restart of the program only the ID is known, not what was in the event.
        self._restored = restored
        self.is_looking = False
        """Whether an event that comes now may be a duplicate."""

    def look(self) -> None:
        """Begin with a new connection."""
        self._expected = Counter(self._seen)
        self.is_looking = bool(self._seen or self._restored)

    def is_duplicate(self, event: DecodedEvent) -> bool:
        """Whether the event was read on a connection before; only to be asked while `is_looking`."""
        if event.last_event_id == INHERITED:
            return False  # it has no place of its own that could be the same
        found = self._take(event)
        self.is_looking = found
        return found

    def remember(self, event: DecodedEvent) -> None:
        """Note an event that was not a duplicate."""
        if event.last_event_id and self._seen.maxlen:
            self._seen.append(hash((event.last_event_id, event.event, event.data)))

    def _take(self, event: DecodedEvent) -> bool:
        if self._restored:
            restored, self._restored = self._restored, ""
            return event.last_event_id == restored
        digest = hash((event.last_event_id, event.event, event.data))
        if not self._expected[digest]:
            return False
        self._expected[digest] -= 1
        return True
