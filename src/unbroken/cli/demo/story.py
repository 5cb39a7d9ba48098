"""What is streamed: a story, word by word, with pauses in which only the heartbeat is heard."""

from __future__ import annotations

import asyncio
import traceback
from enum import StrEnum
from typing import Self

from unbroken.cli.demo.ledger import Line
from unbroken.wire import ServerSentEvent, encode

__all__ = ["AskedToRaiseError", "Story", "Wish"]

STORY = (
    "Once there was a thread. It ran from a spool to a small ball of yarn, and carried whatever was said. "
    "Somebody cut it. It tied a knot and went on. "
    "Somebody froze it. The spool waited a little, then let go. "
    "Somebody swallowed every word. The ball heard no heartbeat, and asked again. "
    "Each time both ends knew, and both tidied up. That is the whole story."
)
WORDS = STORY.split()

WORD_INTERVAL = 0.3
SENTENCE_INTERVAL = 3.6
"""Long enough for three heartbeats, which come in silence only."""

RETRY = 1000
"""Milliseconds after which the browser comes back."""

BALE = encode(ServerSentEvent("wool " * 50_000, event="bale"))
"""A quarter of a megabyte: more than the buffers on the way take, so that a reader which stopped is felt at once."""


class Wish(StrEnum):
    """What the page may ask of a running story."""

    BALE = "bale"
    RAISE = "raise"
    END = "end"


class AskedToRaiseError(Exception):
    """The page asked for it."""


class Story:
    """One telling: gives a word after the other, as frames, and notes on its line what the generator comes to see.

    Args:
        line: The stream's line in the ledger.
        told: Words that the reader has already.
        max_age: Seconds that the telling may take, where somebody sees to it.
    """

    def __init__(self, line: Line, told: int, max_age: float) -> None:
        self.line = line
        self.max_age = max_age
        self._told = told
        self._wishes: asyncio.Queue[Wish] = asyncio.Queue()
        self._began = False
        # With the first word, and not before it: what the server counts as events is what the page counts.
        self._greeting = encode(ServerSentEvent(str(line.number), event="number", retry=RETRY))

    def wish(self, wish: Wish) -> None:
        """Let the story go on with this instead of its next word."""
        self._wishes.put_nowait(wish)

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> bytes:
        try:
            frame = await self._next()
        except (StopAsyncIteration, AskedToRaiseError):
            raise
        except BaseException as exc:
            # Whatever reaches this await is noted, and goes on to the generator around it.
            self.line.saw.append(f"{type(exc).__name__} at an await")
            raise
        self.line.events += 1
        greeting, self._greeting = self._greeting, b""
        return greeting + frame

    async def _next(self) -> bytes:
        try:
            async with asyncio.timeout(self._pause()):
                wish = await self._wishes.get()
        except TimeoutError:
            self._began = True
            self._told += 1
            return encode(ServerSentEvent(WORDS[(self._told - 1) % len(WORDS)], id=str(self._told)))
        return self._grant(wish)

    def _pause(self) -> float:
        after_sentence = self._began and WORDS[(self._told - 1) % len(WORDS)].endswith(".")
        return SENTENCE_INTERVAL if after_sentence else WORD_INTERVAL

    def _grant(self, wish: Wish) -> bytes:
        if wish is Wish.RAISE:
            self.line.saw.append("raised AskedToRaiseError itself")
            raise AskedToRaiseError("the page asked the producer to raise")
        if wish is Wish.END:
            raise StopAsyncIteration
        return BALE

    def saw(self, gone: ConnectionResetError) -> None:
        """Note what the generator caught; the traceback says where it stood."""
        last = traceback.extract_tb(gone.__traceback__)[-1]
        where = "the exit of while_connected()" if last.name == "__aexit__" else "a yield"
        self.line.saw.append(f"{type(gone).__name__} at {where}")
        self.line.caught = True

    async def put_away(self) -> None:
        """Clean up as one does who must await for it, and note how far it came."""
        self.line.cleanup = "at its first await"
        try:
            await asyncio.sleep(0.05)
            self.line.cleanup = "at its second await"
            await asyncio.sleep(0.05)
        except BaseException as exc:
            self.line.cleanup = f"cut off {self.line.cleanup} by {type(exc).__name__}"
            raise
        self.line.cleanup = "finished"
