"""The names of what is kept in the engine.

In a cluster one script can reach the keys of one slot only. So topics are spread over buckets, and all keys of a bucket
have its number as their hash tag: a topic, its keys, and the index in which its name stands change in one step.
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass

__all__ = ["BUCKETS", "Keys", "TopicKeys"]

BUCKETS = 256
"""Fixed for ever: another number would look for the topics elsewhere. Enough to spread them over a hundred nodes."""


@dataclass(frozen=True, slots=True)
class TopicKeys:
    """Where one topic is."""

    bucket: int
    all: tuple[bytes, ...]
    """Its state, its entries, its idempotency keys, their order in time, and the index of its bucket."""
    channel: bytes
    name: bytes


class Keys:
    """Names that begin with a prefix. Publications know no databases, so their names say which it is."""

    def __init__(self, prefix: str, db: int) -> None:
        self._prefix = prefix
        self._db = db

    def of(self, topic: str) -> TopicKeys:
        """Return the names of one topic."""
        name = topic.encode()
        bucket = zlib.crc32(name) % BUCKETS
        place = self._place(bucket)
        kept = tuple(b"%s:%s:%s" % (place, kind, name) for kind in (b"state", b"entries", b"keys", b"used"))
        return TopicKeys(bucket, (*kept, self.index(bucket)), b"%s:live%d:%s" % (place, self._db, name), name)

    def index(self, bucket: int) -> bytes:
        """Return the name of the set of a bucket's topics."""
        return b"%s:topics" % self._place(bucket)

    def _place(self, bucket: int) -> bytes:
        return f"{self._prefix}:{{{bucket}}}".encode()
