"""What a run gives, and its way to a file and back."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Self

__all__ = ["Results"]

Values = dict[str, dict[str, list[float]]]


@dataclass(slots=True)
class Results:
    """Every value, by peer and by `figure subscribers`; one a repetition."""

    values: Values = field(default_factory=dict)
    flaws: dict[str, list[str]] = field(default_factory=dict)
    absent: dict[str, str] = field(default_factory=dict)
    machine: str = ""

    def add(self, peer: str, subscribers: int, figures: dict[str, float], flaws: Iterable[str]) -> None:
        own = self.values.setdefault(peer, {})
        for figure, value in figures.items():
            own.setdefault(f"{figure} {subscribers}", []).append(value)
        self.flaws.setdefault(peer, []).extend(flaws)

    def get(self, peer: str, figure: str, subscribers: int) -> list[float]:
        return self.values.get(peer, {}).get(f"{figure} {subscribers}", [])

    def sizes(self, figure: str) -> list[int]:
        """Give the numbers of subscribers that a figure was measured at, by any peer."""
        names = {name.rpartition(" ") for own in self.values.values() for name in own}
        return sorted(int(size) for name, _, size in names if name == figure)

    def to_json(self) -> str:
        return json.dumps(asdict(self), indent=1)

    @classmethod
    def read(cls, path: Path) -> Self:
        return cls(**json.loads(path.read_text()))
