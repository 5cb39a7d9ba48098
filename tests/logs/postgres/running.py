"""What the tests of this log share."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import urlencode

import asyncpg  # type: ignore[import-untyped]

from tests.logs.running import eventually, refusal
from unbroken.logs.postgres import PostgresLog, from_url
from unbroken.logs.postgres.place import Place
from unbroken.testing.logs import Recorder

__all__ = ["HASTY", "connected", "eventually", "heard", "opened", "place_of", "refusal", "with_settings"]

HASTY = {"timeout": 1.0, "heartbeat_interval": 0.2, "heartbeat_timeout": 0.3}
"""Settings with which faults are found within a test's time."""

DEADLINE = 10.0


def with_settings(url: str, **settings: object) -> str:
    """Return the URL with more settings."""
    return f"{url}{'&' if '?' in url else '?'}{urlencode(settings)}" if settings else url


def place_of(url: str) -> Place:
    """Return what a log makes of a URL."""
    return from_url(url)._place


@asynccontextmanager
async def opened(url: str, **settings: object) -> AsyncIterator[tuple[PostgresLog, Recorder]]:
    """Start a log, and stop it in the end."""
    log, listener = from_url(with_settings(url, **settings)), Recorder()
    await log.start(listener)
    try:
        yield log, listener
    finally:
        async with asyncio.timeout(DEADLINE):
            await log.stop()


@asynccontextmanager
async def connected(url: str) -> AsyncIterator[Any]:
    """Connect to the database of a log, as an application does."""
    connection = await asyncpg.connect(place_of(url).dsn)
    try:
        yield connection
    finally:
        await connection.close()


async def heard(listener: Recorder, topic: str, payload: bytes) -> None:
    """Wait until an entry was told."""
    await listener.until(
        lambda: any(entry.payload == payload for entry in listener.entries(topic).values()), f"{payload!r}"
    )
