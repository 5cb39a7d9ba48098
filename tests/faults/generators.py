"""The generators that people write, each noting what happens to it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Generator
from contextlib import asynccontextmanager

from unbroken import while_connected

from .probes import Probe

__all__ = ["BLOCKING", "GENERATORS", "UNSCOPED", "Source"]

Source = AsyncGenerator[object, None] | Generator[object, None, None]


async def busy(probe: Probe, size: int) -> AsyncGenerator[object, None]:
    """Yield for ever without awaiting anything."""
    try:
        while True:
            yield probe.item(size)
    except BaseException as exc:
        probe.saw(exc)
        raise
    finally:
        await probe.clean_up()


async def sleeping(probe: Probe, size: int) -> AsyncGenerator[object, None]:
    """Sleep inside `while_connected()`."""
    try:
        async with while_connected():
            yield probe.item(size)
            try:
                probe.position = "await"
                await asyncio.sleep(30)
            except BaseException as exc:
                probe.saw(exc)
                raise
    except BaseException as exc:
        probe.saw(exc, "scope")
        raise
    finally:
        await probe.clean_up()


async def ticking(probe: Probe, size: int) -> AsyncGenerator[object, None]:
    """Yield, sleep a little, and so on."""
    try:
        while True:
            yield probe.item(size)
            probe.position = "await"
            await asyncio.sleep(0.02)
    except BaseException as exc:
        probe.saw(exc)
        raise
    finally:
        await probe.clean_up()


async def queue(probe: Probe, size: int) -> AsyncGenerator[object, None]:
    """Wait for messages that do not come."""
    messages: asyncio.Queue[str] = asyncio.Queue()
    try:
        yield probe.item(size)
        while True:
            probe.position = "await"
            yield await messages.get()
    except BaseException as exc:
        probe.saw(exc)
        raise
    finally:
        await probe.clean_up()


async def resources(probe: Probe, size: int) -> AsyncGenerator[object, None]:
    """Hold a resource whose release awaits."""
    try:
        async with _resource(probe):
            yield probe.item(size)
            probe.position = "await"
            await asyncio.Event().wait()
    except BaseException as exc:
        probe.saw(exc)
        raise
    finally:
        await probe.clean_up()


async def raising(probe: Probe, size: int) -> AsyncGenerator[object, None]:
    """Fail: in answer to being told, or by itself where nobody tells it."""
    try:
        yield probe.item(size)
        probe.position = "await"
        await asyncio.sleep(probe.patience)
    except BaseException as exc:
        probe.saw(exc)
        raise RuntimeError("raised in answer") from exc
    finally:
        await probe.clean_up()
    raise RuntimeError("raised by itself")


def sync(probe: Probe, size: int) -> Generator[object, None, None]:
    """Yield from a thread, with short pauses."""
    yield from _blocking(probe, size, 0.02)


def sync_blocking(probe: Probe, size: int) -> Generator[object, None, None]:
    """Yield from a thread, and block it for two seconds before each further item."""
    yield from _blocking(probe, size, 2.0)


def _blocking(probe: Probe, size: int, pause: float) -> Generator[object, None, None]:
    try:
        while True:
            yield probe.item(size)
            probe.position = "blocked"
            time.sleep(pause)
    except BaseException as exc:
        probe.saw(exc)
        raise
    finally:
        probe.clean_up_blocking()


@asynccontextmanager
async def _resource(probe: Probe) -> AsyncIterator[None]:
    probe.resource = "open"
    try:
        yield
    finally:
        await asyncio.sleep(0.01)
        probe.resource = "closed"


GENERATORS: dict[str, Callable[[Probe, int], Source]] = {
    "busy": busy,
    "sleeping": sleeping,
    "ticking": ticking,
    "queue": queue,
    "sync": sync,
    "sync-blocking": sync_blocking,
    "resources": resources,
    "raising": raising,
}
UNSCOPED = tuple(kind for kind in GENERATORS if kind != "sleeping")
"""Those that a response of another library can drive too."""
BLOCKING = ("sync", "sync-blocking")
"""Those that want a thread."""
