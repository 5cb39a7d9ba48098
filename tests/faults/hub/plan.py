"""What a fuzz plays, and what came of it."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from .oracle import Problem, Verdict

__all__ = ["Plan", "Report"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What is played. The seed decides what everybody does, not which of two comes first."""

    seed: int
    seconds: float
    processes: int = 3
    workers: int = 1
    """Of each process: above 1 they share a port."""
    readers: int = 40
    topics: int = 5
    publishers: int = 3
    pause: float = 0.02
    """Seconds between two batches of a publisher, about."""
    kept: int = 200
    chaos: float = 0.3
    """Seconds between two blows, about."""
    in_memory: bool = False
    engine: str | None = None
    """Which one keeps the topics, in place of SQLite."""
    keeps: bool = False
    """Nothing that happens takes anything back that was acknowledged."""
    proxied: bool = False
    """A proxy stands before the servers, and gives each connection to the next of them."""
    mutation: str | None = None
    blows: tuple[tuple[str, int], ...] = (
        ("kill", 3),
        ("take back", 4),
        ("rewrite", 4),
        ("lose", 2),
        ("trim", 6),
        ("restore", 1),
        ("lose all", 1),
    )
    """Which, and how often against each other."""


@dataclass(slots=True)
class Report:
    """What was done, and what came of it."""

    verdict: Verdict
    published: int
    retries: int
    cuts: int
    blows: Counter[str]
    demotions: int
    """Times that a live reader fell behind, at the servers that were there in the end."""
    refused: Counter[int]
    problems: list[Problem] = field(default_factory=list)
    """Other than those of readers: of publishers, and of the file."""

    def __str__(self) -> str:
        verdict = self.verdict
        counts = {
            "deliveries": verdict.deliveries,
            "published": self.published,
            "retries": self.retries,
            "connections": verdict.connections,
            "resumed": verdict.resumed,
            "cuts": self.cuts,
            "demotions": self.demotions,
            **{f"blows {name}": count for name, count in sorted(self.blows.items())},
            **{f"gaps {reason}": count for reason, count in sorted(verdict.gaps.items())},
            **{f"refused {status}": count for status, count in sorted(self.refused.items())},
            **{f"{kind}s": verdict.count(kind) for kind in ("hole", "duplicate", "fork")},
            "other problems": sum(p.kind not in ("hole", "duplicate", "fork") for p in self.all_problems()),
        }
        return ", ".join(f"{name} {count:,}" for name, count in counts.items())

    def add(self, other: Report) -> None:
        """Add up two runs."""
        self.verdict.add(other.verdict)
        self.published += other.published
        self.retries += other.retries
        self.cuts += other.cuts
        self.blows += other.blows
        self.demotions += other.demotions
        self.refused += other.refused
        self.problems += other.problems

    def all_problems(self) -> list[Problem]:
        """Return those of readers and all others."""
        return self.verdict.problems + self.problems
