"""Driving awaitables by hand, one suspension at a time.

A coroutine that suspends yields a future (or None, for one turn of the loop)
up to its task; the task waits for it and steps on. The pump stands in between:
it starts a step itself to learn whether it suspends at all, and it decides who
is told of a cancellation that arrives meanwhile.
"""

from __future__ import annotations

import asyncio
import types
from collections.abc import Generator, Iterator
from typing import Any

__all__ = ["Trap", "finish", "outlast"]

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


@types.coroutine
def finish(step: Iterator[Trap], trap: Trap) -> Generator[Trap, None, Any]:
    """Run `step`, which has just yielded `trap`, to its end and return its value.

    `yield from` alone would resume it at once, before what it waits for is there.
    """
    while True:
        try:
            yield trap
        except GeneratorExit:
            step.close()  # type: ignore[attr-defined]
            raise
        except BaseException as exc:  # noqa: BLE001 - a cancellation is for the step, whatever it is
            try:
                trap = step.throw(exc)  # type: ignore[attr-defined]
            except StopIteration as ready:
                return ready.value
        else:
            return (yield from step)
