"""The open pages, each with a hop of its own that misbehaves on command."""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from enum import StrEnum

from unbroken.cli.demo.story import Story, Wish
from unbroken.testing import Fault, FaultProxy

__all__ = ["Deed", "Visit", "Visits"]

HOP_RECEIVE_BUFFER_BYTES = 4096
"""So that the server meets backpressure soon after the hop froze."""


class Deed(StrEnum):
    """What a page may do to its own stream, besides closing it itself."""

    CUT = "cut"
    FREEZE = "freeze"
    SILENCE = "silence"
    RAISE = "raise"


class Visit:
    """One open page: its hop, and the stories it is being told."""

    def __init__(self, hop: FaultProxy) -> None:
        self.name = secrets.token_hex(4)
        self.hop = hop
        self.stories: list[Story] = []
        self._struck: set[int] = set()

    def do(self, deed: Deed) -> None:
        """Hurt the streams of this page that are not hurt yet: an old one, frozen, must stay as it is."""
        match deed:
            case Deed.CUT:
                self._strike(Fault.RST)
            case Deed.FREEZE:
                self._strike(Fault.FREEZE)
                self._wish(Wish.BALE)
            case Deed.SILENCE:
                self._strike(Fault.SWALLOW)
            case Deed.RAISE:
                self._wish(Wish.RAISE)

    def end(self) -> None:
        """Let every story come to its end."""
        for story in self.stories:
            story.wish(Wish.END)

    def _strike(self, fault: Fault) -> None:
        for number, connection in enumerate(self.hop.connections):
            if number not in self._struck:
                self._struck.add(number)
                connection.strike(fault)

    def _wish(self, wish: Wish) -> None:
        if self.stories:
            self.stories[-1].wish(wish)


class Visits:
    """The open pages, by name."""

    def __init__(self, target: tuple[str, int]) -> None:
        self._target = target
        self._open: dict[str, Visit] = {}

    def get(self, name: str) -> Visit | None:
        """Return the visit of that name, None if there is none or no longer."""
        return self._open.get(name)

    @asynccontextmanager
    async def visit(self) -> AsyncIterator[Visit]:
        """Open a visit, and with it a hop on a port of its own."""
        host, port = self._target
        async with FaultProxy(host, port, receive_buffer_bytes=HOP_RECEIVE_BUFFER_BYTES) as hop:
            visit = Visit(hop)
            self._open[visit.name] = visit
            try:
                yield visit
            finally:
                del self._open[visit.name]
                visit.end()  # those that have no other who tells them
