"""Waiting for something to become true, always under a deadline."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import FrameType

__all__ = ["Changes", "DeadlineError", "where_suspended"]


class DeadlineError(AssertionError):
    """What a test waited for did not come in time; the text says what was awaited and what was seen instead."""


class Changes:
    """Wakes whoever waits for a condition each time that something may have changed it.

    No state of its own, hence nothing to miss: a waiter looks at the condition before it waits.
    It belongs to one event loop and is not thread-safe.
    """

    def __init__(self) -> None:
        self._waiters: set[asyncio.Future[None]] = set()

    def notify(self) -> None:
        """Let every waiter look again, in the loop's next turn."""
        for waiter in self._waiters:
            if not waiter.done():
                waiter.set_result(None)

    async def until(self, condition: Callable[[], bool]) -> None:
        """Return as soon as the condition holds, at once if it does already."""
        while not condition():
            waiter = asyncio.get_running_loop().create_future()
            self._waiters.add(waiter)
            try:
                await waiter
            finally:
                self._waiters.discard(waiter)

    async def until_deadline(self, condition: Callable[[], bool], timeout: float) -> bool:
        """Wait for the condition for at most `timeout` seconds and say whether it holds."""
        try:
            async with asyncio.timeout(timeout):
                await self.until(condition)
        except TimeoutError:
            # It may have come true in the very turn in which the deadline passed.
            return condition()
        return True


def where_suspended(task: asyncio.Task[Any]) -> str:
    """Return the calls in which a task is known to wait, the innermost last, without those of this package."""
    # Task.get_stack() gives only the outermost frame of a suspended coroutine.
    places, awaited = list[str](), task.get_coro()
    while (frame := _frame(awaited)) is not None:
        if frame.f_globals.get("__package__") != __package__:
            places.append(f"{frame.f_code.co_qualname} ({Path(frame.f_code.co_filename).name}:{frame.f_lineno})")
        awaited = _first_of(awaited, "cr_await", "gi_yieldfrom", "ag_await")
    return " > ".join(places) or "an unknown place"


def _frame(awaited: object) -> FrameType | None:
    frame: FrameType | None = _first_of(awaited, "cr_frame", "gi_frame", "ag_frame")
    return frame


def _first_of(awaited: object, *names: str) -> Any:
    # Any: what is awaited may be any object, and each kind names these attributes otherwise.
    return next((found for name in names if (found := getattr(awaited, name, None)) is not None), None)
