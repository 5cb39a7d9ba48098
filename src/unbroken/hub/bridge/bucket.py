"""How many requests in how much time."""

from __future__ import annotations

import math
import time

from unbroken.errors import ConfigurationError

__all__ = ["Bucket"]


class Bucket:
    """A token bucket: so many at once, and so many a second in the long run. Two numbers, however long it is used.

    Args:
        rate: A second.
        burst: At once, after a silence.
    """

    __slots__ = ("_at", "_burst", "_left", "_rate")

    def __init__(self, rate: float, burst: int) -> None:
        self._rate = rate
        self._burst = burst
        self._left = float(burst)
        self._at = time.monotonic()

    @classmethod
    def of(cls, rate: float | None, burst: int) -> Bucket | None:
        """Return a bucket, or None where no rate is given.

        Raises:
            ConfigurationError: `rate` or `burst` is no number above 0.
        """
        if rate is None:
            return None
        for name, value in (("rate", rate), ("burst", burst)):
            if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < math.inf:
                raise ConfigurationError(f"{name}={value!r} is no number of requests: give one above 0")
        if burst < 1:
            raise ConfigurationError(f"burst={burst!r} would let nothing through: give 1 or more")
        return cls(rate, burst)

    def take(self) -> float:
        """Take one, and return 0; or the seconds until there is one again."""
        now = time.monotonic()
        self._left = min(self._burst, self._left + (now - self._at) * self._rate)
        self._at = now
        if self._left < 1:
            return (1 - self._left) / self._rate
        self._left -= 1
        return 0.0
