"""Streams as people and hops end them, made by chance."""

from __future__ import annotations

import math
from dataclasses import dataclass
from random import Random

from unbroken import CloseReason
from unbroken.observe import Cleanup, StreamRecord

__all__ = ["AGES", "Crowd", "ended"]

AGES = {
    "exponential": lambda chance, mean: chance.expovariate(1 / mean),
    "log-normal": lambda chance, mean: chance.lognormvariate(math.log(mean), 1.0),
    "uniform": lambda chance, mean: chance.uniform(0, 2 * mean),
    "normal": lambda chance, mean: abs(chance.gauss(mean, 0.15 * mean)),
}
"""How long people stay, in seconds, by their mean."""


def ended(
    *,
    opened_at: float = 0.0,
    age: float,
    silence: float | None = None,
    longest: float | None = None,
    heartbeats: int = 0,
    route: str | None = "/events",
    reason: CloseReason = CloseReason.CLIENT_CLOSED,
) -> StreamRecord:
    """Make a record; a stream of which nothing else is said was silent from its beginning."""
    last = age if silence is None else silence
    return StreamRecord(
        id=1,
        reason=reason,
        method="GET",
        path="/events",
        route=route,
        client=None,
        opened_at=opened_at,
        duration=age,
        first_byte=0.0,
        longest_silence=last if longest is None else longest,
        last_silence=last,
        events=0,
        discarded=0,
        heartbeats=heartbeats,
        sent_bytes=0,
        cleanup=Cleanup.FINISHED,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Crowd:
    """People who open streams, and the hops between."""

    mean_age: float = 300.0
    ages: str = "exponential"
    events_per_second: float = 0.0
    heartbeat: float | None = None
    cut_silence: float | None = None
    cut_age: float | None = None
    share_behind_hop: float = 1.0
    route: str | None = "/events"
    arrivals_per_second: float = 0.2

    def streams(self, chance: Random, count: int) -> list[StreamRecord]:
        """Let `count` of them come and go, and return their streams in the order of their ends."""
        opened_at, records = 0.0, []
        for _ in range(count):
            opened_at += chance.expovariate(self.arrivals_per_second)
            records.append(self._stream(chance, opened_at))
        return sorted(records, key=lambda record: record.opened_at + record.duration)

    def _stream(self, chance: Random, opened_at: float) -> StreamRecord:
        hop = chance.random() < self.share_behind_hop
        leaves = AGES[self.ages](chance, self.mean_age)
        if hop and self.cut_age is not None:
            leaves = min(leaves, self.cut_age + chance.uniform(0, 0.3))
        patience = math.inf if self.cut_silence is None or not hop else self.cut_silence + chance.uniform(0, 0.3)
        last, longest, heartbeats = 0.0, 0.0, 0
        while True:
            event = chance.expovariate(self.events_per_second) if self.events_per_second else math.inf
            quiet = min(event, self.heartbeat or math.inf)
            silence = min(quiet, patience, leaves - last)
            longest = max(longest, silence)
            if silence < quiet:
                age = last + silence
                return ended(
                    opened_at=opened_at,
                    age=age,
                    silence=silence,
                    longest=longest,
                    heartbeats=heartbeats,
                    route=self.route,
                )
            heartbeats += quiet < event
            last += silence
