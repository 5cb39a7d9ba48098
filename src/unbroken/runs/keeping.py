"""For how long the topics of runs are kept."""

from __future__ import annotations

from collections.abc import Callable

from unbroken.errors import ConfigurationError
from unbroken.hub.hub import Hub
from unbroken.logs import Retention
from unbroken.runs.names import CONTROL, DATA, INDEX, LEASE

__all__ = ["reserve"]

KEY_AGE = 300.0
"""Seconds for which a batch's key is remembered: longer than any is tried."""


def reserve(hub: Hub, ttl: float, ttl_of: Callable[[str], float]) -> None:
    """Say for how long the topics of runs are kept: those of a run each as a whole, for the time that is its own.

    Raises:
        ConfigurationError: other `Runs` of this hub have said so, and for another time.
    """
    home, whole = hub._home, _whole(ttl)
    there = home.retention_of(INDEX).max_age
    if there not in (None, ttl):
        raise ConfigurationError(
            f"ttl={ttl:g}, and other Runs of this hub have ttl={there:g}: make one for all, or a hub for each"
        )

    def of(topic: str) -> Retention:
        own = ttl_of(topic.partition(":")[2])
        return whole if own == ttl else _whole(own)

    home.reserve(DATA, of, whole=True)
    home.reserve(CONTROL, of, whole=True)
    home.reserve(
        LEASE, Retention(max_events=8, max_bytes=None, max_age=ttl, key_age=min(60.0, ttl), forget_after=min(1.0, ttl))
    )
    home.reserve(
        INDEX, Retention(max_events=None, max_bytes=None, max_age=ttl, key_age=min(KEY_AGE, ttl), forget_after=None)
    )


def _whole(ttl: float) -> Retention:
    key_age, soon = min(KEY_AGE, ttl), min(1.0, ttl)
    return Retention(max_events=None, max_bytes=None, max_age=ttl, key_age=key_age, forget_after=soon)
