"""Publishing from where no event loop runs."""

from __future__ import annotations

import asyncio
import concurrent.futures
import os
import threading
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, TypeVar

from unbroken.errors import ConfigurationError, LogUnavailable
from unbroken.logs.batch import check_name

__all__ = ["Background", "check_key", "is_on_loop", "wait_for"]

T = TypeVar("T")

MAX_KEY_CHARS = 512


class Background:
    """An event loop in a thread, for a process that has none. A daemon: it holds nothing that is not yet stored."""

    def __init__(self) -> None:
        self.loop = asyncio.new_event_loop()
        self._pid = os.getpid()
        self._thread = threading.Thread(target=self._run, name="unbroken hub", daemon=True)
        self._thread.start()

    def is_ours(self) -> bool:
        """Whether its thread is in this process: a fork has left it behind."""
        return self._pid == os.getpid()

    def stop(self, last: Callable[[], Awaitable[None]]) -> None:
        """Run `last` on the loop, and end it. Not to be called in its thread."""
        wait_for(_once(last), self.loop, 10.0)
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join()
        self.loop.close()

    def _run(self) -> None:
        asyncio.set_event_loop(self.loop)
        self.loop.run_forever()


async def _once(last: Callable[[], Awaitable[None]]) -> None:
    await last()


def is_on_loop() -> bool:
    """Whether an event loop runs in this thread."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True


def wait_for(coroutine: Coroutine[Any, Any, T], loop: asyncio.AbstractEventLoop, timeout: float) -> T:
    """Run a coroutine on another thread's loop, and wait for it.

    Raises:
        LogUnavailable: it takes longer than `timeout` seconds. It is cancelled, and may be done all the same.
    """
    future = asyncio.run_coroutine_threadsafe(coroutine, loop)
    try:
        return future.result(timeout)
    except concurrent.futures.TimeoutError:
        future.cancel()
        raise LogUnavailable(f"the event was not published within {timeout} s; it may be yet") from None


def check_key(key: object) -> None:
    """Refuse what is no idempotency key.

    Raises:
        ConfigurationError: it is no str of 1 to 512 characters, or has lone surrogates.
    """
    if key is None:
        return
    if not (isinstance(key, str) and 0 < len(key) <= MAX_KEY_CHARS):
        shown = repr(key)[:40]
        raise ConfigurationError(f"key={shown} is none: give a str of 1 to {MAX_KEY_CHARS} characters, or None")
    check_name("key", key)
