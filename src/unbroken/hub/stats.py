"""What a hub does, in numbers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from unbroken.hub.counters import Counters

if TYPE_CHECKING:
    from unbroken.hub.engine import Engine

__all__ = ["HubStats", "stats_of"]


@dataclass(frozen=True, slots=True, kw_only=True)
class HubStats:
    """One look at a hub in this process. Sums are since the hub was made."""

    topics: int
    """Topics that are followed here: somebody reads them, or did a moment ago."""
    subscribers: int
    """Responses that are open."""
    live: int
    """Of those, the ones that have everything there is."""
    behind: int
    """The others: they are replaying, or their clients are slow."""
    published: int
    """Events that were published here, duplicates not counted."""
    duplicates: int
    """Times that a key had been used, so that nothing was published."""
    waiting: int
    """Events that were handed over to `publish_soon`, and are not published yet."""
    unpublished: int
    """Events that were handed over to `publish_soon`, and were given up."""
    delivered: int
    """Deliveries to those who were live: events times clients."""
    replayed: int
    """Events that were read, at hand or from the log, for readers who were not."""
    demotions: int
    """Times that a live reader fell behind."""
    dropped: int
    """Events that were passed over for slow readers with `overflow="drop_oldest"`; they were told."""
    conflated: int
    """Events that slow readers with `overflow="conflate"` did not get, since a newer one of the same key came."""
    revoked: int
    """Streams that were ended by `revoke`."""
    fills: int
    """Times that a topic was looked up in the log, since something was missing or in doubt."""
    breaks: int
    """Times that the log's history did not follow on what had been seen."""
    resumes: Mapping[str, int]
    """Beginnings: `none` without a cursor, `complete`, or `gap`."""
    gaps: Mapping[str, int]
    """Gaps that readers were told of, by reason."""
    trouble: str | None
    """Why the log is out of reach; None while all is well, as far as is known."""


def stats_of(counters: Counters, engine: Engine | None) -> HubStats:
    """Return one look at the counters, and at what is open."""
    subscribers, live = (len(engine.subscribers), engine.live()) if engine is not None else (0, 0)
    return HubStats(
        topics=0 if engine is None else len(engine.topics),
        subscribers=subscribers,
        live=live,
        behind=subscribers - live,
        published=counters.published,
        duplicates=counters.duplicates,
        waiting=0 if engine is None else len(engine.outbox),
        unpublished=counters.unpublished,
        delivered=counters.delivered,
        replayed=counters.replayed,
        demotions=counters.demotions,
        dropped=counters.dropped,
        conflated=counters.conflated,
        revoked=counters.revoked,
        fills=counters.fills,
        breaks=counters.breaks,
        resumes=dict(counters.resumes),
        gaps={str(reason): count for reason, count in counters.gaps.items()},
        trouble=None if engine is None else engine.topics.reach.why,
    )
