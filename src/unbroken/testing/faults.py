"""What a hop can do to a connection, as plain data."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from unbroken.errors import ConfigurationError

__all__ = ["Fault", "Faults"]


class Fault(StrEnum):
    """One thing that a hop does to a connection that goes through it."""

    RST = "rst"
    """Reset both sides, as a crashed host or a firewall does."""
    FIN = "fin"
    """Close both sides in order, as a hop does that is stopped; what was on its way is discarded."""
    FREEZE = "freeze"
    """Read from neither side until thawed, so that senders meet backpressure; no close is noticed either."""
    SWALLOW = "swallow"
    """Go on reading and discard it, closes too: both sides see an open, silent connection, for good."""
    HALF_CLOSE = "half_close"
    """Close the direction to the server only, as a client does that says it has no more to ask."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Faults:
    """The plan for one connection; without arguments it is relayed faithfully.

    Raises:
        ConfigurationError: A value is out of its range, or a fault and its moment do not come together.
    """

    fault: Fault | None = None
    """What happens once at `after_bytes` or `after_events`, whichever comes first; None for nothing."""
    after_bytes: int | None = None
    """Bytes of the server's answer that are let through before, the head of the response included."""
    after_events: int | None = None
    """Events (blocks with a `data` line) that are let through before; it takes HTTP/1 in plain text, uncompressed."""
    delay: float = 0.0
    """Seconds by which every piece of the server's answer is held back, one after the other."""
    slice_bytes: int | None = None
    """The largest piece in which the server's answer is passed on; with a `delay` the pieces surely arrive apart."""
    idle_timeout: float | None = None
    """Seconds of silence in both directions after which the hop closes both sides, as nginx and cloud balancers do."""

    def __post_init__(self) -> None:
        timed = self.after_bytes is not None or self.after_events is not None
        if (self.fault is not None) != timed:
            raise ConfigurationError(f"{self} never strikes: give fault= together with after_bytes= or after_events=")
        self._check("after_bytes", self.after_bytes, 0)
        self._check("after_events", self.after_events, 1)
        self._check("slice_bytes", self.slice_bytes, 1)
        self._check("delay", self.delay, 0)
        self._check("idle_timeout", self.idle_timeout, 0)

    def _check(self, name: str, value: float | None, least: int) -> None:
        if value is not None and value < least:
            raise ConfigurationError(f"{name}={value!r} is out of range: give {least} or more")
