"""What is counted of all logs together."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

__all__ = ["Totals"]


@dataclass(slots=True)
class Totals:
    """The counts that belong to no finding."""

    lines: int = 0
    tracebacks: int = 0
    streams: int = 0
    refused: int = 0
    unrelated: int = 0
    dropped: Counter[str] = field(default_factory=Counter)
