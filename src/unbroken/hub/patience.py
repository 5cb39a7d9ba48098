"""Trying again while the log is out of reach, for as long as that cannot publish anything twice."""

from __future__ import annotations

import asyncio
import math
import random
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, TypeVar

from unbroken.errors import ConfigurationError, LogUnavailable
from unbroken.logs import Appended, Retention
from unbroken.logs.contract import NewKey
from unbroken.logs.position import new_token

if TYPE_CHECKING:
    from unbroken.hub.engine import Engine
    from unbroken.hub.home import Home

__all__ = ["Key", "check_wait", "longest_wait", "patiently", "persist"]

T = TypeVar("T")

FIRST_PAUSE = 0.1
LONGEST_PAUSE = 2.0

LAST_TRY = 0.05
"""Seconds before the deadline at which the last try begins."""

SAFE = 0.9
"""The part of `Retention.key_age` in which an event is tried: a try may be on its way for a while, and must still
find the key of the first."""


async def patiently(home: Home, topic: str, payload: bytes, key: str | None, close: bool, wait: float) -> Appended:
    """Append an event, and try again for `wait` seconds while the log is out of reach.

    Raises:
        LogError: as `Log.append` does; `LogUnavailable` only after that time, or when the hub is closed meanwhile.
    """
    keys, engine = Key(key), list["Engine"]()

    async def attempt() -> Appended:
        if not engine:
            engine.append(await home.open())
        return await engine[0].publish(topic, payload, key=keys.take(), close=close)

    def is_over() -> bool:
        return bool(engine) and engine[0].is_stopped  # or this would open it again, and nobody would close it

    return await persist(attempt, asyncio.get_running_loop().time() + wait, is_over)


async def persist(attempt: Callable[[], Awaitable[T]], deadline: float, is_over: Callable[[], bool]) -> T:
    """Return what an attempt returns, the first that is not `LogUnavailable`; begun and ended before the deadline.

    Raises:
        LogUnavailable: none was made in time, or it is over.
    """
    loop, pause = asyncio.get_running_loop(), FIRST_PAUSE
    failure = LogUnavailable("there was no time to publish the event")
    while True:
        try:
            async with asyncio.timeout_at(deadline):
                return await attempt()
        except TimeoutError:
            raise LogUnavailable(f"the event was not published in time, and may be yet: {failure}") from None
        except LogUnavailable as exc:
            failure = exc
        left = deadline - LAST_TRY - loop.time()
        if left <= 0 or is_over():
            raise failure
        # By chance, so that not all processes ask at once.
        await asyncio.sleep(min(pause * random.uniform(0.5, 1.0), left))  # noqa: S311 - no secret
        pause = min(2 * pause, LONGEST_PAUSE)


class Key:
    """The key of an append that may be tried more than once: one is made, if none is given."""

    def __init__(self, given: str | None = None) -> None:
        self._next = given or NewKey(new_token(8))

    def take(self) -> str:
        """Return it, for one try. A log has to look for it from the second on."""
        key, self._next = self._next, str(self._next)
        return key


def longest_wait(retention: Retention) -> float:
    """Return for how many seconds an event may be tried."""
    return SAFE * retention.key_age


def check_wait(wait: object, retention: Retention) -> float:
    """Return `wait`, or refuse to wait for longer than a key is surely remembered: the event might be published twice.

    Raises:
        ConfigurationError: it is no number of seconds up to that.
    """
    longest = longest_wait(retention)
    number = isinstance(wait, int | float) and not isinstance(wait, bool) and math.isfinite(wait)
    if not number or not 0 <= wait <= longest:  # type: ignore[operator]
        raise ConfigurationError(
            f"wait={wait!r} is not from 0 to {longest:g} s: so long a key is surely remembered, nine tenths of "
            "Retention.key_age"
        )
    return wait  # type: ignore[return-value]
