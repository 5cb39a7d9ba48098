"""The times that log lines carry."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import Final

__all__ = ["time_in", "time_of_number"]

ISO: Final = re.compile(r"(\d{4})[-/](\d\d)[-/](\d\d)[T ](\d\d):(\d\d):(\d\d)(?:[.,](\d{1,9}))?\s?(Z|[+-]\d\d:?\d\d)?")
"""Python's logging, gunicorn, containers, nginx's error log, Envoy, load balancers."""
COMMON: Final = re.compile(r"(\d\d)/([A-Z][a-z]{2})/(\d{4}):(\d\d):(\d\d):(\d\d)(?:\.(\d{1,6}))?(?:\s([+-]\d{4}))?")
"""Access logs, and HAProxy's."""
SYSLOG: Final = re.compile(r"([A-Z][a-z]{2})\s{1,2}(\d{1,2}) (\d\d):(\d\d):(\d\d)")
MONTHS: Final = {
    name: number
    for number, name in enumerate("Jan Feb Mar Apr May Jun Jul Aug Sep Oct Nov Dec".split(), start=1)  # noqa: SIM905
}
LOOKED_AT: Final = 200
"""Characters from the beginning in which a line's own time stands."""


def time_in(text: str) -> datetime | None:
    """Return the first time in the beginning of `text`, in UTC, or None."""
    head = text[:LOOKED_AT]
    try:
        return _iso(head) or _common(head) or _syslog(head)
    except (ValueError, OverflowError):
        return None  # no such day, or before the calendar's first


def time_of_number(value: object) -> datetime | None:
    """Return the time of a JSON field: text, or seconds or milliseconds since the epoch."""
    if isinstance(value, str):
        return time_in(value)
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        return datetime.fromtimestamp(value / 1000 if value > 1e11 else value, UTC)
    except (ValueError, OverflowError, OSError):
        return None


def _iso(text: str) -> datetime | None:
    found = ISO.search(text)
    if found is None:
        return None
    year, month, day, hour, minute, second = map(int, found.groups()[:6])
    return _utc(datetime(year, month, day, hour, minute, second, _microseconds(found[7]), UTC), found[8])


def _common(text: str) -> datetime | None:
    found = COMMON.search(text)
    if found is None or found[2] not in MONTHS:
        return None
    hour, minute, second = map(int, found.groups()[3:6])
    plain = datetime(int(found[3]), MONTHS[found[2]], int(found[1]), hour, minute, second, _microseconds(found[7]), UTC)
    return _utc(plain, found[8])


def _syslog(text: str) -> datetime | None:
    found = SYSLOG.match(text)
    if found is None or found[1] not in MONTHS:
        return None
    now = datetime.now(UTC)
    day, hour, minute, second = map(int, found.groups()[1:])
    time = datetime(now.year, MONTHS[found[1]], day, hour, minute, second, tzinfo=UTC)
    # It has no year: what would lie ahead is last year's.
    return time if time <= now + timedelta(days=1) else time.replace(year=now.year - 1)


def _microseconds(fraction: str | None) -> int:
    return int(f"{fraction:0<6}"[:6]) if fraction else 0


def _utc(time: datetime, zone: str | None) -> datetime:
    if zone is None or zone == "Z":
        return time
    away = timedelta(hours=int(zone[1:3]), minutes=int(zone[-2:]))
    return time + away if zone[0] == "-" else time - away
