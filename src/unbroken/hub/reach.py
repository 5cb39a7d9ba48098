"""Whether the log is within reach: known by what it says, and by what it refuses; said to people once."""

from __future__ import annotations

import time

from unbroken.observe import logger

__all__ = ["Reach"]

QUIET = 10.0
"""Seconds after a warning in which there is no other: a log that comes and goes is not to fill the disk."""


class Reach:
    """One hub's view of its log. Whoever waits for it says so here, where ten thousand streams make one line."""

    __slots__ = ("_by_log", "_said", "_said_at", "why")

    def __init__(self) -> None:
        self.why: str | None = None
        """Why the log is out of reach; None while all is well."""
        self._by_log = False
        """The log says so itself, and will say when that is over."""
        self._said = False
        self._said_at = -QUIET

    def hear(self, why: str | None) -> None:
        """Take note of what the log says of itself."""
        self._by_log = why is not None
        if why is None:
            self.regain()
        else:
            self.lose(why)

    def lose(self, why: str) -> None:
        """Note that the log has refused something."""
        self.why = why
        if not self._said and time.monotonic() - self._said_at > QUIET:
            self._said, self._said_at = True, time.monotonic()
            logger.warning("the log is out of reach; streams stay open, and will get what they miss: %s", why)

    def regain(self) -> None:
        """Note that it has done something."""
        if self.why is None or self._by_log:
            return
        self.why = None
        if self._said:
            self._said = False
            logger.warning("the log is within reach again")
