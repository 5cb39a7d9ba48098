"""Driving awaitables by hand, one suspension at a time.

A coroutine that suspends yields a future (or None, for one turn of the loop)
up to its task; the task waits for it and steps on. The pump stands in between:
it starts a step itself to learn whether it suspends at all, and it decides who
is told of a cancellation that arrives meanwhile.
"""

from __future__ import annotations

import asyncio
import types
from collections.abc import Generator
from typing import Any

__all__ = ["Trap", "outlast"]

Trap = Any
"""What a suspended coroutine yields: a future that knows asyncio's protocol, or None. Servers bring their own kinds."""


class _NotingFuture(asyncio.Future[None]):
    """A future that outlives the cancellation of the task that waits for it."""

    def cancel(self, msg: Any = None) -> bool:
        return True

    def wake(self, _: object) -> None:
        if not self.done():
            self.set_result(None)


@types.coroutine
def outlast(trap: Trap) -> Generator[Trap, None, None]:
    """Wait for `trap`, through any cancellation of the task.

    The canceller's count stays in `Task.cancelling()`: that is how the caller
    learns of it afterwards, and how it differs from a cancellation that whoever
    is being waited for made and took back itself (a timeout inside a middleware's send).
    """
    if trap is None or not hasattr(trap, "add_done_callback"):
        try:
            yield trap
        except asyncio.CancelledError:
            return
    else:
        trap._asyncio_future_blocking = False  # the flag is the awaiting side's half of the protocol
        waiter = _NotingFuture()
        trap.add_done_callback(waiter.wake)
        yield from waiter
