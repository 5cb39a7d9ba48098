"""What a hub counts while it works."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

__all__ = ["Counters"]


@dataclass(slots=True)
class Counters:
    """Sums since the hub was made. Changed on the hub's loop only."""

    published: int = 0
    duplicates: int = 0
    unpublished: int = 0
    delivered: int = 0
    replayed: int = 0
    demotions: int = 0
    dropped: int = 0
    conflated: int = 0
    fills: int = 0
    breaks: int = 0
    revoked: int = 0
    resumes: Counter[str] = field(default_factory=Counter)
    gaps: Counter[str] = field(default_factory=Counter)
