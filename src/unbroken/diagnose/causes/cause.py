"""What one entry of the catalogue holds."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

__all__ = ["Cause", "Code", "Severity", "Skill"]


class Severity(StrEnum):
    """How much harm a cause does while nobody mends it."""

    INFO = "info"
    """Ordinary life of a stream: nothing to mend, only to know."""
    LOW = "low"
    """Untidy: noise in a log, a header too few."""
    MEDIUM = "medium"
    """Some clients see broken or late streams."""
    HIGH = "high"
    """Clients lose events, or the server leaks, as a rule."""
    CRITICAL = "critical"
    """One client or one event can stop the whole server, or forge what others read."""


class Skill(StrEnum):
    """Who can mend it."""

    BEGINNER = "beginner"
    """One line or one setting, as written."""
    INTERMEDIATE = "intermediate"
    """A function to be rewritten with its meaning kept."""
    ADVANCED = "advanced"
    """A design to be changed, or several parts of an installation."""


@dataclass(frozen=True, slots=True)
class Code:
    """A piece of code or configuration, complete enough to be run."""

    text: str
    language: str = "python"


@dataclass(frozen=True, slots=True, kw_only=True)
class Cause:
    """One way in which an event stream breaks. All texts are plain sentences; a backquote marks code."""

    id: str
    """Lower case with hyphens; stable: users, rules and reports refer to it."""
    title: str
    severity: Severity
    skill: Skill
    minutes: int
    """To mend one place, by somebody who has that skill."""
    meaning: str
    """What it means for whoever sees it."""
    why: str
    """How it comes about."""
    detect: str
    """How to know that it is this."""
    fix: str
    workaround: str
    """What helps without unbroken, or until the fix is there."""
    prevention: str
    versions: str
    """Which versions of what it concerns."""
    sources: tuple[str, ...]
    """Where it is documented or was reported: addresses, or `owner/name#number` of a thread."""
    broken: Code | None = None
    fixed: Code | None = None
