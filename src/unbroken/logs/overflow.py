"""Which entries are over the bounds of a retention."""

from __future__ import annotations

from collections.abc import Iterable

from unbroken.logs.contract import Retention

__all__ = ["count_over"]


def count_over(
    oldest: Iterable[tuple[float, int]], kept: int, size: int, retention: Retention, now: float
) -> tuple[int, int]:
    """Return how many of the oldest entries go, and their bytes.

    `oldest` gives when each was appended and its bytes, the oldest first; it is read only as far as entries go.
    `kept` and `size` count all entries of the topic and their bytes.
    """
    gone, freed = 0, 0
    for appended_at, length in oldest:
        if not _is_over(appended_at, kept - gone, size - freed, retention, now):
            break
        gone, freed = gone + 1, freed + length
    return gone, freed


def _is_over(appended_at: float, kept: int, size: int, retention: Retention, now: float) -> bool:
    """Say whether the oldest of `kept` entries goes."""
    return (
        (retention.max_events is not None and kept > retention.max_events)
        or (retention.max_age is not None and appended_at < now - retention.max_age)
        or (retention.max_bytes is not None and kept > 1 and size > retention.max_bytes)
    )
