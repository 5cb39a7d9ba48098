"""The ids of events on one connection: the position in one topic, or a cursor over several."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from unbroken.hub.cursor import Digest, digest_of, pack, read_cursor, write_cursor
from unbroken.hub.event import Event
from unbroken.hub.gap import Gap, encode_gap
from unbroken.logs import Position

__all__ = ["Item", "Numbering", "Vector"]

Vector = tuple[Position, ...]
"""A position in each topic of a connection, in the order of the topics."""

Item = Event | Gap


class Numbering:
    """Writes the ids for one set of topics. Immutable, and shared by all connections to them."""

    __slots__ = ("_at", "_digests", "_key", "names")

    def __init__(self, names: Sequence[str], key: bytes) -> None:
        self.names = tuple(names)
        self._key = key
        self._digests = tuple(map(digest_of, names)) if len(names) > 1 else ()
        self._at = {name: at for at, name in enumerate(names)}

    def id_of(self, vector: Vector) -> str:
        """Return the id that stands for the positions."""
        return write_cursor(list(map(pack, self._digests, vector)), self._key) if self._digests else str(vector[0])

    def read(self, cursor: str) -> Position | Mapping[Digest, Position] | None:
        """Return what a client's text stands for, or None if it is no cursor. Not yet: whether it is one of these."""
        return read_cursor(cursor, self._key)

    def after(self, vector: Vector, event: Event) -> Vector:
        """Return the positions behind `event`."""
        if not self._digests:
            return (event.position,)
        at = self._at[event.topic]
        return (*vector[:at], event.position, *vector[at + 1 :])

    def frame(self, event: Event, vector: Vector) -> bytes:
        """Return the event's block with the positions behind it as its id."""
        return event.frame_as(self.id_of(vector)) if self._digests else event.frame

    def frames(self, items: Iterable[Item], vector: Vector) -> tuple[list[bytes], Vector]:
        """Return the blocks of items that were read on from `vector`, and the positions that the last id says."""
        frames = []
        for item in items:
            if isinstance(item, Gap):
                frames.append(encode_gap(item))
            else:
                vector = self.after(vector, item)
                frames.append(self.frame(item, vector))
        return frames, vector

    def prime(self, vector: Vector | None) -> bytes:
        """Return a block that says where a reader is and dispatches nothing; without positions nothing.

        WHATWG 9.2.6: a block without data sets the last event ID and ends there. A client that is cut off
        before its first event so comes back with a cursor all the same.
        """
        return b"" if vector is None else b"id: %b\n\n" % self.id_of(vector).encode()

    def positions(self, cursor: Position | Mapping[Digest, Position], epochs: Sequence[str]) -> dict[int, Position]:
        """Return which topics, by their number, a cursor has positions in.

        A position alone does not name its topic: it is of the only one, or of the one whose epoch it has.
        """
        if not isinstance(cursor, Position):
            found = {at: cursor.get(digest_of(name)) for name, at in self._at.items()}
            return {at: position for at, position in found.items() if position is not None}
        if len(epochs) == 1:
            return {0: cursor}
        return {at: cursor for at, epoch in enumerate(epochs) if epoch == cursor.epoch}
