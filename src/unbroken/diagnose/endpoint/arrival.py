"""What the arrival of events tells about hops that hold them back.

A producer that is merely fast, or that comes in bursts, must raise no alarm. So
only three patterns count, and each says how sure it is:

- pieces that end within an event and are followed by quiet, several times, all
  of about one size: something cuts by bytes, and no producer does: proof;
- events that came together carry times that lie apart, within the time in which
  the client waited: they were late, by a hop or by a source that polls;
- everything came at the very end after a silence: a suspicion only.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from statistics import median
from typing import Final

from unbroken.diagnose.endpoint.recording import Recording, TimedEvent

__all__ = ["Blocks", "Burst", "HeldBack", "all_at_the_end", "bursts", "cut_blocks", "held_back"]

QUIET: Final = 0.1
"""Seconds without a byte that separate two bursts: far above what lies between the packets of one write."""
LEAST_BLOCKS: Final = 3
LEAST_BLOCK: Final = 512
SAME_SIZE: Final = 0.25
"""Blocks of a buffer differ by the framing of chunks, which the client does not see."""
LEAST_SPREAD: Final = 1.0
"""Seconds between two events that came together, to call the later one late."""
LATE_EVENTS: Final = 3
LATE_SILENCE: Final = 1.0

# Seconds or milliseconds since 1970, in this century's second and third decade; or ISO 8601.
_EPOCH = re.compile(r"(?<![\d.])(1[6-9]\d{8})(\.\d{1,9}|\d{3})?(?![\d])")
_ISO = re.compile(r"20\d\d-[01]\d-[0-3]\d[T ][0-2]\d:[0-5]\d:[0-5]\d(?:\.\d{1,6})?(?:Z|[+-]\d\d:?\d\d)?")
TEXT_LIMIT: Final = 4096


@dataclass(frozen=True, slots=True)
class Burst:
    """Pieces that came together."""

    since: float
    until: float
    silence: float
    """Seconds without a byte before it."""
    size: int
    events: int
    inside: bool
    """Whether it ended within an event."""


@dataclass(frozen=True, slots=True)
class Blocks:
    """Bursts that were cut by their size."""

    count: int
    size: int
    """Their median, in bytes."""


@dataclass(frozen=True, slots=True)
class HeldBack:
    """Events that came together though they were made one after the other."""

    events: int
    spread: float
    """Seconds between the first and the last, by their own times."""


def bursts(recording: Recording) -> list[Burst]:
    """Return what came together, in order."""
    found: list[Burst] = []
    last = recording.head_at
    for piece in recording.pieces:
        if found and piece.at - last < QUIET:
            old = found.pop()
            size, events = old.size + piece.size, old.events + piece.events
            found.append(Burst(old.since, piece.at, old.silence, size, events, piece.inside))
        else:
            found.append(Burst(piece.at, piece.at, piece.at - last, piece.size, piece.events, piece.inside))
        last = piece.at
    return found


def cut_blocks(found: list[Burst]) -> Blocks | None:
    """Return the blocks, if the bursts are cut by bytes and not by events."""
    followed = found[:-1]  # the last one may just have been cut by our leaving
    cut = [burst for burst in followed if burst.inside and burst.size >= LEAST_BLOCK]
    # The first holds the response's head too, and so less of the body.
    sizes = [burst.size for burst in cut if burst is not found[0]]
    if len(sizes) < LEAST_BLOCKS or len(cut) < 0.8 * len(followed):
        return None
    usual = median(sizes)
    alike = sum(abs(size - usual) <= SAME_SIZE * usual for size in sizes)
    return Blocks(len(sizes), round(usual)) if alike >= 0.8 * len(sizes) else None


def held_back(recording: Recording, found: list[Burst]) -> HeldBack | None:
    """Return the events that came together and lie the furthest apart by their own times."""
    late = [together for burst in found if (together := _late(burst, _events_of(recording, burst)))]
    return max(late, key=lambda together: together.spread, default=None)


def _events_of(recording: Recording, burst: Burst) -> list[TimedEvent]:
    return [timed for timed in recording.events if burst.since <= timed.at <= burst.until]


def _late(burst: Burst, events: Iterable[TimedEvent]) -> HeldBack | None:
    times = [told for timed in events if (told := _told_time(timed.event.data)) is not None]
    if len(times) < 2 or burst.until - burst.since > LEAST_SPREAD / 2:
        return None
    spread = max(times) - min(times)
    # Made while we were connected and heard nothing; a replay of older events comes at once, after no silence.
    return HeldBack(len(times), spread) if LEAST_SPREAD <= spread <= burst.silence + 0.5 else None


def _told_time(data: str) -> float | None:
    text = data[:TEXT_LIMIT]
    if found := _EPOCH.search(text):
        whole, rest = found[1], found[2] or ""
        return float(whole + rest) if not rest or rest.startswith(".") else float(whole) + int(rest) / 1000
    if found := _ISO.search(text):
        try:
            told = datetime.fromisoformat(found[0])
        except ValueError:
            return None
        return (told if told.tzinfo else told.replace(tzinfo=UTC)).timestamp()
    return None


def all_at_the_end(recording: Recording, found: list[Burst]) -> Burst | None:
    """Return the one burst that was all, if it came after a silence and the body ended with it."""
    if recording.ended is None or len(found) != 1 or recording.left_at - found[0].until > QUIET:
        return None
    late = found[0].events >= LATE_EVENTS and found[0].since >= LATE_SILENCE
    return found[0] if late else None
