"""Events that a server sends once more at the beginning of a new connection.

A server that replays from the last event ID *inclusive* repeats what was read. IDs are opaque, and the same ID alone
proves nothing: a server may give several events the same one, or count from 1 again after a restart. A duplicate has
the ID that was asked for, and type and data of what was read under it, in the same order; it is looked for at the
beginning of a connection, up to the first event that is none. So what is dropped in error is an event that is the same
in all. What a server repeats from further back is given again: once more rather than never.
"""

from __future__ import annotations

from collections import deque

from unbroken.wire import DecodedEvent

__all__ = ["INHERITED", "Duplicates"]

INHERITED = "\0"
"""Stands for the ID of the connection before. WHATWG 9.2.6: no ID has U+0000, so none can be mistaken for it."""

MOST_OF_AN_ID = 1024
"""Events of one ID that are remembered, the newest; 8 bytes each, whatever their data."""


class Duplicates:
    """Remembers what was read under the newest ID."""

    __slots__ = ("_expected", "_has_begun", "_id", "_is_restored", "_read", "is_looking")

    def __init__(self, restored: str) -> None:
        self._id = restored
        self._read = deque[int](maxlen=MOST_OF_AN_ID)
        self._expected = deque[int]()
        """Of a replay that has begun, what comes next if it goes on."""
        self._has_begun = False
        # After a restart of the program the ID alone is known, not what was in the event.
        self._is_restored = bool(restored)
        self.is_looking = False
        """Whether an event that comes now may be a duplicate."""

    def look(self) -> None:
        """Begin with a new connection."""
        self._expected.clear()
        self._has_begun = False
        self.is_looking = bool(self._read or self._is_restored)

    def is_duplicate(self, event: DecodedEvent) -> bool:
        """Whether the event was read on a connection before; only to be asked while `is_looking`."""
        if event.last_event_id == INHERITED:
            return False  # it has no place of its own that could be the same
        found = event.last_event_id == self._id and self._take(event)
        self.is_looking = found and bool(self._expected)
        return found

    def remember(self, event: DecodedEvent) -> None:
        """Note an event that was not a duplicate."""
        if event.last_event_id != self._id:
            self._id = event.last_event_id
            self._read.clear()
            self._is_restored = False
        if self._id:
            self._read.append(_digest(event))

    def _take(self, event: DecodedEvent) -> bool:
        if self._is_restored:
            self.remember(event)  # it may come again with the next connection
            self._is_restored = False
            return True
        digest = _digest(event)
        if not self._has_begun:
            self._has_begun = True
            return self._begin_at_last(digest)
        return self._expected.popleft() == digest

    def _begin_at_last(self, digest: int) -> bool:
        # Of several places where the replay may begin the last is taken: then the fewest events are dropped.
        if digest not in self._read:
            return False
        read = list(self._read)
        at = len(read) - 1 - read[::-1].index(digest)
        self._expected.extend(read[at + 1 :])
        return True


def _digest(event: DecodedEvent) -> int:
    return hash((event.event, event.data))
