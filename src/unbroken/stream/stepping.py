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

__all__ = ["Trap", "Waiter", "outlast"]

Trap = Any
"""What a suspended coroutine yields: a future that knows asyncio's protocol, or None. Servers bring their own kinds."""


class Waiter(asyncio.Future[None]):
    """What a task waits for in place of a trap: it outlives the task's cancellation, and can be woken early."""

    def cancel(self, msg: Any = None) -> bool:
        """Take no notice: whoever cancels the task finds its count raised."""
        return True

    def wake(self, _: object = None) -> None:
        """End the wait."""
        if not self.done():
            self.set_result(None)


@types.coroutine
def outlast(trap: Trap, waiter: Waiter | None = None) -> Generator[Trap, None, str | None]:
    """Wait for `trap`, through any cancellation of the task, or until `waiter` is woken.

    The canceller's count stays in `Task.cancelling()`: that is how the caller
    learns of it afterwards, and how it differs from a cancellation that whoever
    is being waited for made and took back itself (a timeout inside a middleware's send).
    After a bare turn the cancellation's message is returned: anyio knows its own by that.
    """
    if trap is None or not hasattr(trap, "add_done_callback"):
        try:
            yield trap
        except asyncio.CancelledError as exc:
            return exc.args[0] if exc.args else None
    else:
        trap._asyncio_future_blocking = False  # the flag is the awaiting side's half of the protocol
        waiter = Waiter() if waiter is None else waiter
        trap.add_done_callback(waiter.wake)
        yield from waiter
    return None
