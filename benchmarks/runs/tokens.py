"""The tokens: what is sent, and the account that a reader keeps of what came."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from typing import Any

__all__ = ["READY", "Account", "Gates", "Pace", "now", "tokens"]

READY = 0
"""The number of the token that is sent at once: the stream is open, and waits for the beginning."""

LEAD = 0.3
"""Seconds between the beginning and the first token: the server's clock is read in them."""

_TOKEN = re.compile(rb"(\d+):(\d+)~")


def now() -> int:
    """Microseconds, by a clock that all processes of the machine share."""
    return time.monotonic_ns() // 1000


def _stamped(number: int) -> str:
    return f"{number:05d}:{now():012d}~"


@dataclass(frozen=True, slots=True)
class Pace:
    """How a model speaks: so many tokens, so many a second, and where between two of another's the first falls."""

    tokens: int
    rate: float
    phase: float = 0.0


@dataclass(frozen=True, slots=True)
class Gates:
    """When all streams of a server go on, and when they may end."""

    begun: asyncio.Event = field(default_factory=asyncio.Event)
    ended: asyncio.Event = field(default_factory=asyncio.Event)


async def tokens(gates: Gates, pace: Pace, make: Callable[[str], Any]) -> AsyncIterator[Any]:
    """Yield tokens as a model would; `make` gives them the form that a library's users yield."""
    yield make(_stamped(READY))
    await gates.begun.wait()
    clock = asyncio.get_running_loop().time
    begun = clock() + LEAD + pace.phase / pace.rate
    for number in range(1, pace.tokens + 1):
        await asyncio.sleep(begun + number / pace.rate - clock())
        yield make(_stamped(number))
    await gates.ended.wait()


class Account:
    """What one reader has had."""

    def __init__(self) -> None:
        self._rest = b""
        self.numbers: list[int] = []
        self.latencies: list[int] = []
        """Microseconds from the sending of each to here."""
        self.arrivals: list[int] = []

    def take(self, received: bytes) -> None:
        """Note what came now: tokens one by one, or joined."""
        arrived = now()
        # What is behind the last whole token may be the beginning of one.
        whole, mark, self._rest = (self._rest + received).rpartition(b"~")
        for number, sent in _TOKEN.findall(whole + mark):
            self.numbers.append(int(number))
            self.latencies.append(arrived - int(sent))
            self.arrivals.append(arrived)
