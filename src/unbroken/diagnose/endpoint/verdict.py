"""What an examination says, as values."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any

__all__ = ["Examination", "Outcome", "PlannedRequest", "Progress", "SentRequest", "Verdict"]


class Outcome(StrEnum):
    """How a check came out, the best first."""

    PASS = "pass"  # noqa: S105 - no password
    SKIP = "skip"
    """Not looked at; `saw` says why."""
    INFO = "info"
    """Worth knowing; nothing to mend."""
    WARN = "warn"
    """Works here and now, and breaks for some clients or behind some hops."""
    FAIL = "fail"
    """Broken."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What one check found."""

    check: str
    """The name of one of `CHECKS`. A check that finds several things has several verdicts."""
    outcome: Outcome
    saw: str
    """What was seen, with numbers. What a server sent in it is made printable, and secrets are masked."""
    means: str = ""
    """What that does to clients; empty where all is well."""
    cause: str | None = None
    """The cause in the catalogue that it points to."""
    fix: str = ""

    def as_dict(self) -> dict[str, Any]:
        """Return plain values, ready for JSON."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class PlannedRequest:
    """A request that an examination may make."""

    purpose: str
    method: str
    headers: tuple[tuple[str, str], ...]
    """All but those that a connection needs anyway (Host, Content-Length); values that you gave are masked.

    To another origin, behind a redirect, none that you gave are sent.
    """
    at_most: int
    """How many of it."""


@dataclass(frozen=True, slots=True)
class SentRequest:
    """A request that an examination made."""

    purpose: str
    method: str
    url: str
    """As in `Examination`; what a redirect made of something that you gave is masked too."""
    http_version: str


@dataclass(frozen=True, slots=True)
class Progress:
    """Told before each step of an examination."""

    step: int
    """Steps that are done."""
    steps: int
    doing: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Examination:
    """An endpoint as it was found."""

    url: str
    """Without a user and a password, and with the values of its query masked.

    The user and the password are sent as Basic authentication: `plan` has a masked `authorization` for them.
    """
    verdicts: tuple[Verdict, ...]
    """In the order of `CHECKS`, with at least one for each."""
    plan: tuple[PlannedRequest, ...]
    """The requests that were allowed."""
    requests: tuple[SentRequest, ...]
    """The requests that were made."""
    seconds: float
    """How long it took."""

    @property
    def worst(self) -> Outcome:
        """The worst outcome of all checks."""
        ranks = tuple(Outcome)
        return max((verdict.outcome for verdict in self.verdicts), key=ranks.index, default=Outcome.PASS)

    @property
    def failed(self) -> bool:
        """Whether any check failed."""
        return self.worst is Outcome.FAIL

    def as_dict(self) -> dict[str, Any]:
        """Return plain values, ready for JSON, with `worst` and `failed`."""
        return {**asdict(self), "worst": self.worst, "failed": self.failed}
