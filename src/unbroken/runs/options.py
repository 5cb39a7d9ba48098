"""What a `Runs` was given, checked."""

from __future__ import annotations

import math
from dataclasses import dataclass

from unbroken.errors import ConfigurationError

__all__ = ["RunsOptions", "check_choice", "check_count", "check_seconds"]


@dataclass(frozen=True, slots=True, kw_only=True)
class RunsOptions:
    """The arguments of `Runs`.

    Raises:
        ConfigurationError: one is none of its values.
    """

    lease: float
    ttl: float
    max_events: int
    max_bytes: int
    max_per_owner: int | None
    compact: bool
    cleanup_timeout: float
    shutdown_grace: float

    def __post_init__(self) -> None:
        for name in ("lease", "ttl", "cleanup_timeout"):
            check_seconds(name, getattr(self, name))
        if self.shutdown_grace != 0:
            check_seconds("shutdown_grace", self.shutdown_grace)
        for name in ("max_events", "max_bytes"):
            check_count(name, getattr(self, name))
        if self.max_per_owner is not None:
            check_count("max_per_owner", self.max_per_owner)
        if self.ttl < 2 * self.lease:
            raise ConfigurationError(
                f"ttl={self.ttl:g} is less than two leases of {self.lease:g} s: a run would be gone before it is known "
                "that its process died"
            )

    def check_ttl(self, ttl: float | None) -> None:
        """Refuse what can be no run's own ttl.

        Raises:
            ConfigurationError: it is no time, too short, or longer than the index of all runs is kept.
        """
        if ttl is None:
            return
        check_seconds("ttl", ttl)
        if not 2 * self.lease <= ttl <= self.ttl:
            raise ConfigurationError(
                f"ttl={ttl:g} for one run: give two leases, {2 * self.lease:g} s, to {self.ttl:g} s, that of its Runs"
            )


def check_seconds(name: str, value: object) -> None:
    """Refuse what is no time.

    Raises:
        ConfigurationError: it is no number of seconds, more than 0.
    """
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < math.inf:
        raise ConfigurationError(f"{name}={value!r} is not a time: give seconds, more than 0")


def check_count(name: str, value: object) -> None:
    """Refuse what is no count.

    Raises:
        ConfigurationError: it is no integer of 1 or more.
    """
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise ConfigurationError(f"{name}={value!r} is no count: give an integer of 1 or more")


def check_choice(name: str, value: object, choices: tuple[str, ...]) -> None:
    """Refuse what is not known.

    Raises:
        ConfigurationError: it is none of the choices.
    """
    if value not in choices:
        raise ConfigurationError(f"{name}={value!r} is not known: give one of {', '.join(map(repr, choices))}")
