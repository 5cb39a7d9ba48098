"""How long a client waits before it connects again."""

from __future__ import annotations

__all__ = ["MAX_TOLD_DELAY", "reconnection_delay"]

MAX_TOLD_DELAY = 3600.0
"""Seconds: a server's wish beyond an hour is taken for a mistake, for instance of the unit, and is an hour."""

# 2 ** 32 times any delay is beyond every cap, and far more would not be a float.
_MAX_DOUBLINGS = 32


def reconnection_delay(
    failures: int,
    told: float | None,
    *,
    base: float,
    cap: float,
    chance: float,
    at_least: float = 0.0,
    is_fault: bool = False,
) -> float:
    """Return the seconds to wait before the next attempt.

    WHATWG 9.2.3 waits for the reconnection time, and lets a client wait longer after a failure. What is
    added to the reconnection time here is drawn from all of a window ("full jitter"), which doubles with each failure:
    thousands of clients that lost the same server at the same moment do not come back at the same moment.

    Args:
        failures: Attempts that failed, one after the other; 0 after a connection that lived.
        told: The server's reconnection time in seconds, None if it told none.
        base: The window's width in seconds before anything failed; a shorter reconnection time narrows it where the
            stream ended in good order. With 0 a server that is away is asked again and again without a pause.
        cap: The window's greatest width in seconds.
        chance: A number from 0 to 1, drawn by the caller.
        at_least: Seconds that the server asked for by `Retry-After`.
        is_fault: The stream broke. One that ended in good order may be asked for again at once, if the server says so.
    """
    floor = min(max(told or 0.0, at_least), MAX_TOLD_DELAY)
    if failures == 0 and told is not None and not is_fault:
        base = min(base, told)
    return floor + chance * min(cap, base * 2.0 ** min(failures, _MAX_DOUBLINGS))
