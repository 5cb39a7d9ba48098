"""What the status page knows of streams that are gone: counts of the last hour, in memory that does not grow."""

from __future__ import annotations

import threading
import time
from bisect import bisect_right
from collections import Counter
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from typing import Any, Final

from unbroken.errors import CloseReason
from unbroken.observe import Finding, Hop, Observer, Refusal, StreamRecord
from unbroken.status.text import shown

__all__ = ["History"]

MINUTES: Final = 60
MINUTE: Final = 60

FINDINGS_KEPT: Final = 20
"""The detector tells of a pattern once, so the newest must not push out one another."""

# Doubling, in the round numbers in which timeouts are set: an end that a hop's timeout caused comes just after it.
BOUNDS: Final = (1, 2, 4, 8, 15, 30, 60, 120, 240, 480, 900, 1800, 3600, 7200, 14400, 28800, 57600)
"""Seconds at which a bucket of durations ends and the next begins."""


@dataclass(slots=True)
class _Minute:
    """What happened in one minute. The keys are reasons with buckets, and limits: a few hundred at the most."""

    number: int = -1
    ended: Counter[tuple[CloseReason, int]] = field(default_factory=Counter)
    refused: Counter[str] = field(default_factory=Counter)

    def copy(self) -> _Minute:
        return _Minute(self.number, self.ended.copy(), self.refused.copy())


class History(Observer):
    """Counts how streams ended, minute by minute, for the last hour, and keeps the findings of the hop detector.

    Its memory does not depend on the traffic: it holds counts, and no streams.
    It may be told, and read, from any thread.

    Args:
        now: The clock, in seconds since the epoch; `time.time` by default.
    """

    def __init__(self, now: Callable[[], float] = time.time) -> None:
        self._now = now
        self._since = now()
        # Streams may end on several event loops, and += on a counter is no single step.
        self._lock = threading.Lock()
        self._minutes = [_Minute() for _ in range(MINUTES)]
        self._ended: Counter[CloseReason] = Counter()
        self._refused: Counter[str] = Counter()
        self._last_refused: dict[str, tuple[float, Refusal]] = {}
        self._findings: dict[tuple[Hop, int, str | None], tuple[float, Finding]] = {}

    def closed(self, record: StreamRecord) -> None:
        """Count an end."""
        bucket = bisect_right(BOUNDS, record.duration)
        with self._lock:
            self._minute().ended[record.reason, bucket] += 1
            self._ended[record.reason] += 1

    def refused(self, refusal: Refusal) -> None:
        """Count a refusal, and keep the last one of each limit."""
        with self._lock:
            self._minute().refused[refusal.limit] += 1
            self._refused[refusal.limit] += 1
            self._last_refused[refusal.limit] = (self._now(), refusal)

    def found(self, finding: Finding) -> None:
        """Keep a finding, in place of what was told of the same pattern before."""
        pattern = (finding.counts, round(finding.seconds), finding.route)
        with self._lock:
            self._findings.pop(pattern, None)
            self._findings[pattern] = (self._now(), finding)
            if len(self._findings) > FINDINGS_KEPT:
                del self._findings[next(iter(self._findings))]

    def view(self) -> dict[str, Any]:
        """Return it as plain data for JSON. Times are in seconds, moments in seconds since the epoch."""
        with self._lock:
            minutes = self._last_hour()
            ended, refused = self._ended.copy(), self._refused.copy()
            refusals = list(self._last_refused.values())
            findings = list(self._findings.values())
        return {
            "since": self._since,
            "ended": dict(ended),
            "minutes": [_minute_view(minute) for minute in minutes],
            "durations": _durations_view(minutes),
            "refusals": [_refusal_view(at, last, minutes, refused) for at, last in refusals],
            "findings": [_finding_view(at, finding) for at, finding in reversed(findings)],
        }

    def _minute(self) -> _Minute:
        number = int(self._now() // MINUTE)
        minute = self._minutes[number % MINUTES]
        if minute.number != number:
            minute = self._minutes[number % MINUTES] = _Minute(number)
        return minute

    def _last_hour(self) -> list[_Minute]:
        """Return copies of the minutes in which something happened, the oldest first."""
        now = int(self._now() // MINUTE)
        # Both bounds: a clock that was set back leaves minutes behind that have not come yet.
        recent = [minute.copy() for minute in self._minutes if now - MINUTES < minute.number <= now]
        return sorted(recent, key=lambda minute: minute.number)


def _minute_view(minute: _Minute) -> dict[str, Any]:
    ended: Counter[CloseReason] = Counter()
    for (reason, _), count in minute.ended.items():
        ended[reason] += count
    return {"at": minute.number * MINUTE, "ended": dict(ended), "refused": minute.refused.total()}


def _durations_view(minutes: list[_Minute]) -> list[dict[str, Any]]:
    counts = [Counter[CloseReason]() for _ in range(len(BOUNDS) + 1)]
    for minute in minutes:
        for (reason, bucket), count in minute.ended.items():
            counts[bucket][reason] += count
    edges = zip((0, *BOUNDS), (*BOUNDS, None), counts, strict=True)
    return [{"from": least, "to": most, "ended": dict(ended)} for least, most, ended in edges]


def _refusal_view(at: float, last: Refusal, minutes: list[_Minute], ever: Counter[str]) -> dict[str, Any]:
    # Without its key: that may be a secret, such as an API token.
    return {
        "limit": last.limit,
        "allowed": last.allowed,
        "last_hour": sum(minute.refused[last.limit] for minute in minutes),
        "ever": ever[last.limit],
        "last": {
            "at": at,
            "method": shown(last.method),
            "path": shown(last.path),
            "route": last.route,
            "client": shown(last.client),
        },
    }


def _finding_view(at: float, finding: Finding) -> dict[str, Any]:
    return {"at": at, **asdict(finding)}
