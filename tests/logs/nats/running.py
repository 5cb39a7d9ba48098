"""What the tests share: an opened log, streams of their own, and conditions that come true."""

from __future__ import annotations

import asyncio
import json
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import urlencode

from nats.aio.client import Client

from unbroken.errors import LogUnavailable
from unbroken.logs import Log, open_log
from unbroken.testing import DeadlineError
from unbroken.testing.logs import Recorder

__all__ = ["QUICK", "Stream", "ask", "eventually", "opened", "refusal"]

QUICK: dict[str, object] = {"timeout": 1.0, "heartbeat_interval": 0.2, "heartbeat_timeout": 0.3}
"""Settings by which a dead connection shows at once."""


class Stream:
    """A stream that there is not yet."""

    def __init__(self) -> None:
        token = secrets.token_hex(6)
        self.name = f"T{token}"
        self.prefix = f"t{token}"

    def at(self, url: str, **settings: object) -> str:
        """Return its URL on a server."""
        return f"{url}?{urlencode({'stream': self.name, 'prefix': self.prefix, **settings})}"


@asynccontextmanager
async def opened(url: str) -> AsyncIterator[tuple[Log, Recorder]]:
    """Start a log, and stop it in the end."""
    log, listener = open_log(url), Recorder()
    await log.start(listener)
    try:
        yield log, listener
    finally:
        await log.stop()


async def ask(url: str, what: str, **body: object) -> dict[str, Any]:
    """Ask JetStream, as the operator of a server does."""
    client = Client()
    await client.connect(url)
    try:
        answer: dict[str, Any] = json.loads((await client.request(f"$JS.API.{what}", json.dumps(body).encode())).data)
    finally:
        await client.close()
    return answer


async def refusal(call: Awaitable[object]) -> str:
    """Return the text with which a call was refused; an assertion if it was not."""
    try:
        await call
    except LogUnavailable as error:
        return str(error)
    raise AssertionError("it was not refused")


async def eventually(condition: Callable[[], Awaitable[bool]], awaited: str, timeout: float = 10.0) -> None:
    """Ask until the answer is yes; a server that is away is a no.

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
