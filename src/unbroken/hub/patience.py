"""Publishing to a log that is out of reach for a while."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Iterator
from typing import TYPE_CHECKING

from unbroken.errors import ConfigurationError, LogUnavailable
from unbroken.logs import Appended, Retention
from unbroken.logs.position import new_token

if TYPE_CHECKING:
    from unbroken.hub.home import Home

__all__ = ["check_wait", "made_key", "patiently", "pauses"]

FIRST_PAUSE = 0.1
LONGEST_PAUSE = 2.0


async def patiently(home: Home, topic: str, payload: bytes, key: str | None, close: bool, wait: float) -> Appended:
    """Append an event, and try again for `wait` seconds while the log is out of reach.

    Raises:
        LogError: as `Log.append` does; `LogUnavailable` only after that time.
    """
    key = key or made_key()
    loop = asyncio.get_running_loop()
    deadline = loop.time() + wait
    for pause in pauses():
        try:
            engine = await home.open()
            return await engine.publish(topic, payload, key=key, close=close)
        except LogUnavailable:
            if loop.time() + pause >= deadline:
                raise
        await asyncio.sleep(pause)
    raise AssertionError("pauses do not end")


def made_key() -> str:
    """Return a key for an event that was given none: the second try has to know the first."""
    return new_token(8)


def pauses() -> Iterator[float]:
    """Return the seconds between tries, growing and without end; by chance, so that not all processes ask at once."""
    pause = FIRST_PAUSE
    while True:
        yield pause * random.uniform(0.5, 1.0)  # noqa: S311 - no secret
        pause = min(2 * pause, LONGEST_PAUSE)


def check_wait(wait: float, retention: Retention) -> None:
    """Refuse to wait for longer than a key is remembered: the event might be published twice.

    Raises:
        ConfigurationError: `wait` is no number of seconds up to that.
    """
    if not 0 <= wait <= retention.key_age:
        raise ConfigurationError(
            f"wait={wait} is not from 0 to {retention.key_age} s: a key is remembered so long (Retention.key_age)"
        )
