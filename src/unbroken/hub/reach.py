"""Whether the log is within reach: known by what it says, and by what it refuses; said to people once."""

from __future__ import annotations

import time

from unbroken.observe import logger

__all__ = ["Reach"]

QUIET = 10.0
"""Seconds after a warning in which there is no other: a log that comes and goes is not to fill the disk."""


class Reach:
    """One hub's view of its log. Whoever waits for it says so here, where ten thousand streams make one line."""

    __slots__ = ("_said_at", "_waits", "why")

    def __init__(self) -> None:
        self.why: str | None = None
        """Why the log is out of reach; None while all is well."""
        self._said_at = -QUIET
        self._waits = False

    def lose(self, why: str) -> None:
        """Note that the log is out of reach."""
        lost, self.why = self.why is None, why
        if lost and time.monotonic() - self._said_at > QUIET:
            self._said_at = time.monotonic()
            self._waits = True
            logger.warning("the log is out of reach; streams stay open, and will get what they miss: %s", why)

    def regain(self) -> None:
        """Note that it is there."""
        if self.why is None:
            return
        self.why = None
        if self._waits:
            self._waits = False
            logger.warning("the log is within reach again")
