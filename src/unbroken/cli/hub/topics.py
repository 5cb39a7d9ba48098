"""Which topics there are, and what stands in each. Nothing here makes a topic by looking at it."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from difflib import get_close_matches

from unbroken.logs import Head, Log

__all__ = ["TopicStats", "near", "stats_of", "topics_of"]

INTERNAL = "$"
AT_ONCE = 64
"""Heads that are asked for together."""


@dataclass(frozen=True, slots=True)
class TopicStats:
    """A topic at one moment."""

    topic: str
    epoch: str
    first_seq: int
    """Of the oldest event that is kept; `last_seq + 1` when none is."""
    last_seq: int
    events: int
    closed: bool
    position: str
    """Behind the newest event, for `--after`."""

    @classmethod
    def of(cls, topic: str, head: Head) -> TopicStats:
        """Return what a head says."""
        events = head.seq - head.first_seq + 1
        return cls(topic, head.epoch, head.first_seq, head.seq, events, head.closed, str(head.position))


async def topics_of(log: Log, *, internal: bool = False) -> Sequence[str]:
    """Return the topics of a log, sorted; those of the hub itself only if `internal`.

    Raises:
        LogUnavailable: it cannot be read now.
    """
    return sorted(name for name in await log.topics() if internal or not name.startswith(INTERNAL))


async def stats_of(log: Log, topics: Sequence[str]) -> list[TopicStats]:
    """Return what stands in these topics, which are there: one that is not would be made.

    Raises:
        LogUnavailable: it cannot be read now.
    """
    stats = list[TopicStats]()
    for at in range(0, len(topics), AT_ONCE):
        names = topics[at : at + AT_ONCE]
        heads = await asyncio.gather(*map(log.head, names))
        stats += map(TopicStats.of, names, heads)
    return stats


def near(topic: str, topics: Collection[str]) -> str:
    """Say that there is no such topic, and which may be meant."""
    found = get_close_matches(topic, topics, n=3)
    meant = f"; there is {', '.join(map(repr, found))}" if found else ""
    return f"there is no topic {topic!r}{meant}"
