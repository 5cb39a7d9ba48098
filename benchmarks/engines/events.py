"""What is published, and the account of what came."""

from __future__ import annotations

import time

__all__ = ["PROBE", "Account", "now", "place", "sent_at", "stamped"]

BYTES = 200
PROBE = -1
"""The place of an event that only asks whether the subscriptions are there."""


def now() -> int:
    """Nanoseconds, by a clock that all processes of the machine share."""
    return time.monotonic_ns()


def place(lane: int, number: int, events: int) -> int:
    """Give the place of an event in an account: each lane is a publisher, whose events come one after the other."""
    return lane * (events + 1) + 1 + number


def stamped(where: int) -> str:
    """Make the text of an event: which, and when."""
    return f"{where:010d} {now():020d} ".ljust(BYTES, ".")


def sent_at(text: str | bytes) -> int:
    """Return when it was published."""
    return int(text[11:31])


class Account:
    """What one subscription has had. It is most of what a delivery costs beside the layer, so it does little."""

    __slots__ = ("_lanes", "_seen", "jumps", "twice")

    def __init__(self, lanes: int, events: int) -> None:
        self._lanes = lanes
        # Before the first of each lane is one that has come.
        self._seen = bytearray((b"\1" + bytes(events)) * lanes)
        self.twice = self.jumps = 0

    def take(self, text: str | bytes) -> bool:
        """Note an event; False for a probe."""
        where = int(text[:10])
        if where < 0:
            return False
        seen = self._seen
        if seen[where]:
            self.twice += 1
        elif not seen[where - 1]:
            self.jumps += 1
        seen[where] = 1
        return True

    @property
    def received(self) -> int:
        """Events that came, each counted once."""
        return self._seen.count(1) - self._lanes
