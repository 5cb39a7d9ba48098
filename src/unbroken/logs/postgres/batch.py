"""A batch on its way to the database, and what it answers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256

from unbroken.errors import Fenced, LogUnavailable, TopicClosed
from unbroken.logs.batch import TAG_BYTES, new_epoch
from unbroken.logs.contract import Appended, Draft, Entry
from unbroken.logs.position import Position, new_token
from unbroken.logs.postgres.driver import Row

__all__ = ["Batch", "answered", "append_arguments", "mark_of"]


@dataclass(frozen=True, slots=True)
class Batch:
    """What is to be appended to a topic at once. Its tags are made here: so it is known again."""

    topic: str
    drafts: Sequence[Draft]
    key: str | None
    fence: int | None
    close: bool
    tags: tuple[str, ...]
    closer: str | None

    @classmethod
    def of(cls, topic: str, drafts: Sequence[Draft], key: str | None, fence: int | None, close: bool) -> Batch:
        """Give it its tags."""
        tags = tuple(new_token(TAG_BYTES) for _ in drafts)
        return cls(topic, tuple(drafts), key, fence, close, tags, new_token(TAG_BYTES) if close else None)

    @property
    def size(self) -> int:
        """Its bytes of payload."""
        return sum(len(draft.payload) for draft in self.drafts)

    def entries(self, row: Row) -> tuple[Entry, ...]:
        """Return what was appended, as the answer says it."""
        seq, previous, at = row["first_seq"], row["previous"], row["appended_at"]
        entries = list[Entry]()
        for number, (draft, tag) in enumerate(zip(self.drafts, self.tags, strict=True)):
            entries.append(Entry(seq + number, tag, previous, draft.payload, at))
            previous = tag
        return tuple(entries)


def append_arguments(topics: Sequence[Sequence[Batch]]) -> tuple[object, ...]:
    """Return what the function `append` is given for these batches, by topic."""
    batches = [batch for some in topics for batch in some]
    return (
        [some[0].topic.encode() for some in topics],
        [new_epoch() for _ in topics],
        [mark_of(some[0].topic) for some in topics],
        [len(some) for some in topics],
        [None if batch.key is None else batch.key.encode() for batch in batches],
        [batch.fence for batch in batches],
        [batch.closer for batch in batches],
        [len(batch.drafts) for batch in batches],
        [tag for batch in batches for tag in batch.tags],
        [draft.payload for batch in batches for draft in batch.drafts],
    )


def answered(batch: Batch, row: Row, kept: Sequence[Entry] = ()) -> Appended:
    """Return what became of a batch; `kept` is what is there of a duplicate's.

    Raises:
        TopicClosed, Fenced: as the database says.
        LogUnavailable: it cannot say what became of it.
    """
    outcome = row["outcome"]
    if outcome == "unknown":
        raise LogUnavailable(
            f"it cannot be said that this was appended to topic {batch.topic!r}: the answer was lost, and what was "
            "appended since then was trimmed; publish with a key to be able to try again"
        )
    if outcome == "closed":
        raise TopicClosed(f"topic {batch.topic!r} was closed: nothing can be appended to it any more")
    if outcome == "fenced":
        raise Fenced(
            f"topic {batch.topic!r} was taken over: fence {batch.fence} is lower than {row['fence']}, which was used "
            "since"
        )
    position = Position(row["epoch"], row["seq"], row["tag"])
    if outcome == "duplicate":
        return Appended(row["epoch"], tuple(kept), position, duplicate=True)
    return Appended(row["epoch"], batch.entries(row), position)


def mark_of(topic: str) -> str:
    """Return what stands for a topic in notifications, which have 8000 bytes. Two topics may share one."""
    return sha256(topic.encode()).hexdigest()[:8]
