"""What the tests of all logs share: an opened log, and conditions that come true."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

from unbroken.errors import LogUnavailable
from unbroken.logs import Log, open_log
from unbroken.testing import DeadlineError
from unbroken.testing.logs import Recorder

__all__ = ["eventually", "opened", "refusal"]

DEADLINE = 10.0


@asynccontextmanager
async def opened(url: str) -> AsyncIterator[tuple[Log, Recorder]]:
    """Start a log, and stop it in the end."""
    log, listener = open_log(url), Recorder()
    await log.start(listener)
    try:
        yield log, listener
    finally:
        await log.stop()


async def refusal(call: Awaitable[object]) -> str:
    """Return the text with which a call was refused; an assertion if it was not."""
    try:
        async with asyncio.timeout(DEADLINE):
            await call
    except LogUnavailable as error:
        return str(error)
    raise AssertionError("it was not refused")


async def eventually(condition: Callable[[], Awaitable[bool]], awaited: str, timeout: float = DEADLINE) -> None:
    """Ask until the answer is yes; an engine that is away is a no.

    Raises:
        DeadlineError: it was not within `timeout` seconds.
    """
    try:
        async with asyncio.timeout(timeout):
            while not await _yes(condition):
                await asyncio.sleep(0.02)
    except TimeoutError:
        raise DeadlineError(f"{awaited} did not come about within {timeout} s") from None


async def _yes(condition: Callable[[], Awaitable[bool]]) -> bool:
    try:
        return await condition()
    except LogUnavailable:
        return False
