"""The open tabs of the board, each with a hop of its own."""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from enum import StrEnum

from unbroken.testing import Fault, FaultProxy, Faults

__all__ = ["Tab", "TabDeed", "Tabs"]

REFUSES = Faults(idle_timeout=0.0)
"""Closes a connection before a request gets through: the server hears nothing of a tab that is cut off."""

MAX_KEYS = 10_000


class TabDeed(StrEnum):
    """What a tab may do to its connection, and to the server."""

    CUT = "cut"
    MEND = "mend"
    KILL = "kill"


class Tab:
    """One open tab: its letter, and the hop that its stream goes through."""

    def __init__(self, number: int, hop: FaultProxy) -> None:
        self.name = secrets.token_hex(4)
        self.letter = chr(ord("A") + number % 26)
        self.hop = hop

    def cut(self) -> None:
        """Reset the tab's connection, and let none through until it is mended."""
        self.hop.faults = REFUSES
        self.hop.strike(Fault.RST)

    def mend(self) -> None:
        """Let the tab's next connection through."""
        self.hop.faults = Faults()


class Tabs:
    """The open tabs by name, and what all of them have published.

    The keys are those that tabs have had an answer for: what the tally of each tab is held against.
    """

    def __init__(self) -> None:
        self.published: list[str] = []
        self._opened = 0
        self._open: dict[str, Tab] = {}

    def get(self, name: str) -> Tab | None:
        """Return the tab of that name, None if there is none or no longer."""
        return self._open.get(name)

    def note(self, key: str) -> None:
        """Hear that a card was acknowledged; the first ten thousand are counted."""
        if len(self.published) < MAX_KEYS:
            self.published.append(key[:64])

    @asynccontextmanager
    async def tab(self, port: int) -> AsyncIterator[Tab]:
        """Open a tab, and with it a hop to that port."""
        async with FaultProxy("127.0.0.1", port) as hop:
            tab = Tab(self._opened, hop)
            self._opened += 1
            self._open[tab.name] = tab
            try:
                yield tab
            finally:
                del self._open[tab.name]
