"""What a run gives: every value by engine, layer and figure, one a repetition."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Self

__all__ = ["Results"]


@dataclass(slots=True)
class Results:
    """The values, and what makes some of them worthless."""

    values: dict[str, dict[str, dict[str, list[float]]]] = field(default_factory=dict)
    flaws: dict[str, dict[str, list[str]]] = field(default_factory=dict)
    absent: dict[str, str] = field(default_factory=dict)
    machine: str = ""

    def add(self, engine: str, layer: str, figures: Mapping[str, float], flaws: list[str]) -> None:
        own = self.values.setdefault(engine, {}).setdefault(layer, {})
        for figure, value in figures.items():
            own.setdefault(figure, []).append(value)
        known = self.flaws.setdefault(engine, {}).setdefault(layer, [])
        known.extend(flaw for flaw in flaws if flaw not in known)

    def get(self, engine: str, layer: str, figure: str) -> list[float]:
        return self.values.get(engine, {}).get(layer, {}).get(figure, [])

    def to_json(self) -> str:
        return json.dumps(asdict(self), indent=1)

    @classmethod
    def read(cls, path: Path) -> Self:
        return cls(**json.loads(path.read_text()))
