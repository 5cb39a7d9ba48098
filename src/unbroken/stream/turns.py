"""Counting the turns of the event loop, for those who must not take one for too long."""

from __future__ import annotations

import asyncio
from weakref import WeakKeyDictionary, ref

__all__ = ["Turns", "current_turns"]


class Turns:
    """The turns of one event loop, counted while somebody asks: one callback for all who ask in the same turn."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = ref(loop)
        self._number = 0
        self._counting = False

    def number(self) -> int:
        """Return the number of this turn."""
        if not self._counting and (loop := self._loop()) is not None:
            self._counting = True
            loop.call_soon(self._next)
        return self._number

    def _next(self) -> None:
        self._number += 1
        self._counting = False


_turns: WeakKeyDictionary[asyncio.AbstractEventLoop, Turns] = WeakKeyDictionary()


def current_turns() -> Turns:
    """Return the counter of the running loop, made at the first call."""
    loop = asyncio.get_running_loop()
    turns = _turns.get(loop)
    if turns is None:
        turns = _turns[loop] = Turns(loop)
    return turns
