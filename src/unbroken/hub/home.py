"""Where a hub runs: on one event loop at a time, and on one of its own for those who have none."""

from __future__ import annotations

import asyncio
import threading

from unbroken.errors import ConfigurationError
from unbroken.hub.counters import Counters
from unbroken.hub.engine import Engine
from unbroken.hub.publishing import Background
from unbroken.hub.retention import Retentions
from unbroken.logs import Log, open_log

__all__ = ["Home"]


class Home:
    """Opens an engine where it is wanted, and moves it where that may be: from a loop that is closed, or its own."""

    def __init__(self, url: str | Log, counters: Counters, retentions: Retentions) -> None:
        self._url = url
        self._log = self._make_log()
        self._counters = counters
        self._retentions = retentions
        self.engine: Engine | None = None
        self._opening: tuple[asyncio.AbstractEventLoop, asyncio.Lock] | None = None
        self._background: Background | None = None
        self._starting = threading.Lock()

    async def open(self) -> Engine:
        """Return the engine of the running loop, started if need be.

        Raises:
            ConfigurationError: it is open on another loop, which still runs.
            LogUnavailable: its log cannot be opened.
        """
        if self.engine is not None and self.engine.is_ours():
            return self.engine
        async with self._lock():
            if self.engine is None or not self.engine.is_ours():
                await self._move()
                engine = Engine(self._log, self._counters, self._retentions)
                await engine.start()
                self.engine = engine
            return self.engine

    async def close(self) -> None:
        """Stop the engine: this loop's, one in the background, or one that a closed loop has left behind."""
        engine = self.engine
        if engine is not None and engine.is_ours():
            self.engine = None
            await engine.stop()
        elif engine is not None and (engine.loop.is_closed() or self._is_in_background(engine)):
            await self._move()

    def loop_for_threads(self) -> asyncio.AbstractEventLoop:
        """Return the loop on which other threads can have something done. May be called from any thread."""
        engine = self.engine
        if engine is not None and engine.is_usable():
            return engine.loop
        with self._starting:
            if self._background is None or not self._background.is_ours():
                self._background = Background()
            return self._background.loop

    def _lock(self) -> asyncio.Lock:
        loop = asyncio.get_running_loop()
        if self._opening is None or self._opening[0] is not loop:
            self._opening = (loop, asyncio.Lock())
        return self._opening[1]

    async def _move(self) -> None:
        """Take leave of where the engine is now."""
        engine, self.engine = self.engine, None
        if engine is None:
            return
        if engine.is_forked():
            self._log = self._make_log()  # the parent's is not ours to close
        elif self._background is not None and self._is_in_background(engine):
            await asyncio.to_thread(self._background.stop, engine.stop)
            self._background = None
        elif not engine.loop.is_closed():
            self.engine = engine
            raise ConfigurationError(
                "the hub is open on another event loop: close it there first, or make a Hub for each loop. From other "
                "threads use publish_sync()"
            )
        else:
            await engine.abandon()

    def _is_in_background(self, engine: Engine) -> bool:
        return self._background is not None and engine.loop is self._background.loop

    def _make_log(self) -> Log:
        return open_log(self._url) if isinstance(self._url, str) else self._url
