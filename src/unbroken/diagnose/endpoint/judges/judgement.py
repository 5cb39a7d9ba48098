"""What a judge says, before it is a verdict."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from unbroken.diagnose.endpoint.verdict import Outcome

__all__ = ["Judgement", "counted", "failed", "noted", "passed", "seconds", "size", "skipped", "warned"]


@dataclass(frozen=True, slots=True)
class Judgement:
    """A verdict that does not know its check yet."""

    outcome: Outcome
    saw: str
    means: str = ""
    cause: str | None = None
    fix: str = ""


Judgements = Iterable[Judgement]


def passed(saw: str) -> Judgement:
    """All is well."""
    return Judgement(Outcome.PASS, saw)


def skipped(why: str) -> Judgement:
    """It was not looked at."""
    return Judgement(Outcome.SKIP, why)


def noted(saw: str, means: str = "", cause: str | None = None, fix: str = "") -> Judgement:
    """Worth knowing."""
    return Judgement(Outcome.INFO, saw, means, cause, fix)


def warned(saw: str, means: str, cause: str | None = None, fix: str = "") -> Judgement:
    """It works here, and not everywhere."""
    return Judgement(Outcome.WARN, saw, means, cause, fix)


def failed(saw: str, means: str, cause: str | None = None, fix: str = "") -> Judgement:
    """It is broken."""
    return Judgement(Outcome.FAIL, saw, means, cause, fix)


def seconds(value: float) -> str:
    """Return a duration as people read it."""
    return f"{value:.2f} s" if value < 10 else f"{value:.0f} s"


def counted(number: int, noun: str) -> str:
    """Return how many of something there are."""
    return f"{number} {noun}{'s' * (number != 1)}"


def size(value: int) -> str:
    """Return a number of bytes as people read it."""
    return f"{value} bytes" if value < 10_000 else f"{value / 1024:.0f} KiB"
