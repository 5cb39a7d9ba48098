"""For how long the topics of runs are kept."""

from __future__ import annotations

from unbroken.errors import ConfigurationError
from unbroken.hub.hub import Hub
from unbroken.logs import Retention
from unbroken.runs.names import CONTROL, DATA, INDEX, LEASE

__all__ = ["reserve"]

KEY_AGE = 300.0
"""Seconds for which a batch's key is remembered: longer than any is tried."""


def reserve(hub: Hub, ttl: float) -> None:
    """Say for how long the topics of runs are kept: each as a whole.

    Raises:
        ConfigurationError: other `Runs` of this hub have said so, and for another time.
    """
    there = hub._home.retention_of(DATA).max_age
    if there not in (None, ttl):
        raise ConfigurationError(
            f"ttl={ttl:g}, and other Runs of this hub have ttl={there:g}: make one for all, or a hub for each"
        )
    home, key_age, soon = hub._home, min(KEY_AGE, ttl), min(1.0, ttl)
    whole = Retention(max_events=None, max_bytes=None, max_age=ttl, key_age=key_age, forget_after=soon)
    home.reserve(DATA, whole, whole=True)
    home.reserve(CONTROL, whole, whole=True)
    home.reserve(LEASE, Retention(max_events=8, max_bytes=None, max_age=ttl, key_age=min(60.0, ttl), forget_after=soon))
    home.reserve(INDEX, Retention(max_events=None, max_bytes=None, max_age=ttl, key_age=key_age, forget_after=None))
