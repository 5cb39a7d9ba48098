"""What the observers that count have in common: the bounds of their histograms, and what they keep of open streams."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, Generic, TypeVar

from unbroken.observe.roster import open_streams

__all__ = ["DURATION_BUCKETS", "FIRST_BYTE_BUCKETS", "SILENCE_BUCKETS", "Held", "error_type"]

T = TypeVar("T")

# Idle timeouts of proxies (30, 60, 100, 300 s, an hour) are bounds, so that what they cut gathers in the bucket above.
DURATION_BUCKETS: Final = (
    0.1, 0.5, 1.0, 5.0, 10.0, 30.0, 60.0, 100.0, 300.0, 600.0, 1800.0, 3600.0, 10_800.0, 28_800.0, 86_400.0,
)  # fmt: skip
"""Seconds: from an answer that fails at once to a tab left open for a day."""
FIRST_BYTE_BUCKETS: Final = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
"""Seconds, dense below the half second of `start_grace`."""
SILENCE_BUCKETS: Final = (1.0, 5.0, 10.0, 15.0, 20.0, 30.0, 45.0, 60.0, 100.0, 180.0, 300.0, 600.0, 3600.0)
"""Seconds, dense around the heartbeat of 15 s, and above it with the idle timeouts of proxies."""

MIN_SWEEP: Final = 64


class Held(Generic[T]):
    """One value for each open stream that an observer was told of. May be used from any thread.

    An observer that was detached is not told the ends of streams. What it holds for them is let go when there
    is twice as much as after the last look at the open streams, so the bound is a multiple of those.

    Args:
        let_go: Called with a value whose stream ended untold.
    """

    def __init__(self, let_go: Callable[[T], object]) -> None:
        self._let_go = let_go
        self._values: dict[int, T] = {}
        self._sweep_at = MIN_SWEEP

    def __len__(self) -> int:
        return len(self._values)

    def hold(self, stream_id: int, value: T) -> None:
        """Keep `value` until the stream's end."""
        if len(self._values) >= self._sweep_at:
            self._sweep()
        self._values[stream_id] = value

    def release(self, stream_id: int) -> T | None:
        """Return the value of a stream that ends; None for one whose beginning the observer was not told."""
        return self._values.pop(stream_id, None)

    def _sweep(self) -> None:
        open_ids = {stream.id for stream in open_streams()}
        for stream_id in [held for held in list(self._values) if held not in open_ids]:
            value = self._values.pop(stream_id, None)  # None: told by another thread meanwhile
            if value is not None:
                self._let_go(value)
        self._sweep_at = max(MIN_SWEEP, 2 * len(self._values))


def error_type(error: BaseException) -> str:
    """Return the name of the error's class as tracing has it: with its module, unless it is built in."""
    kind = type(error)
    return kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"
