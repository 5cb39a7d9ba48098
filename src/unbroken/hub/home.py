"""Where a hub runs: on one event loop at a time, and on one of its own for those who have none."""

from __future__ import annotations

import asyncio
import threading
from contextvars import Context
from typing import Any

from unbroken.errors import ConfigurationError
from unbroken.hub.counters import Counters
from unbroken.hub.engine import Engine
from unbroken.hub.outbox import Outbox
from unbroken.hub.publishing import Background, is_on_loop
from unbroken.hub.retention import RetentionOf, Retentions
from unbroken.logs import Appended, Draft, Log, Position, Retention, TransactionalLog, open_log

__all__ = ["Home"]


class Home:
    """Opens an engine where it is wanted, and moves it where that may be: from a loop that is closed, or its own."""

    def __init__(self, url: str | Log, counters: Counters, retentions: Retentions, outbox: Outbox) -> None:
        self._url = url
        self._log = self._make_log()
        self._counters = counters
        self._retentions = retentions
        self._outbox = outbox
        self.engine: Engine | None = None
        self._opening: tuple[asyncio.AbstractEventLoop, asyncio.Lock] | None = None
        self._background: Background | None = None
        self._starting = threading.Lock()
        self._closing: asyncio.Task[None] | None = None

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
                engine = Engine(self._log, self._counters, self._retentions, self._outbox)
                # In a context of its own: that of the request which came first would be kept by the log's tasks.
                await asyncio.get_running_loop().create_task(engine.start(), name="unbroken hub", context=Context())
                self.engine = engine
            return self.engine

    async def close(self) -> None:
        """Stop the engine: this loop's, one in the background, or one that a closed loop has left behind.

        It goes on to its end when the caller is cancelled; whoever closes again waits for that.
        """
        loop = asyncio.get_running_loop()
        if self._closing is None or self._closing.done() or self._closing.get_loop() is not loop:
            self._closing = loop.create_task(self._close(), name="unbroken hub", context=Context())
        await asyncio.shield(self._closing)

    async def _close(self) -> None:
        async with self._lock():  # who opens it meanwhile waits: the log can be started again only when it has stopped
            engine = self.engine
            if engine is not None and engine.is_ours():
                self.engine = None
                await engine.stop()
            elif engine is not None and (engine.loop.is_closed() or self._is_in_background(engine)):
                await self._move()

    def here(self) -> Engine:
        """Return the engine of the running loop.

        Raises:
            ConfigurationError: the hub is not open on it.
        """
        if self.engine is None or not is_on_loop() or not self.engine.is_ours():
            raise ConfigurationError("the hub is not open on this event loop: use hub.lifespan, or await hub.open()")
        return self.engine

    def retention_of(self, topic: str) -> Retention:
        """Return the retention of a topic."""
        return self._retentions.of(topic)

    def reserve(self, prefix: str, retention: RetentionOf, *, whole: bool = False) -> None:
        """Give the internal topics whose names begin so a retention of their own. See `Retentions.reserve`."""
        self._retentions.reserve(prefix, retention, whole=whole)

    async def append_within(
        self, connection: Any, topic: str, payload: bytes, key: str | None, close: bool
    ) -> Position:
        """Append an event in somebody's transaction.

        Raises:
            ConfigurationError: the log is not in a database, or not in that connection's.
            LogError: as `Log.append` does.
        """
        await self.open()  # its tables are there then
        log, drafts = _transactional(self._log), [Draft(payload)]
        appended = await log.append_within(connection, topic, drafts, key=key, close=close)
        self._note(topic, drafts, appended)
        return appended.position

    def append_within_sync(self, connection: Any, topic: str, payload: bytes, key: str | None, close: bool) -> Position:
        """Append an event in somebody's transaction, in this thread. Needs no loop; the tables must be there.

        Raises:
            ConfigurationError: the log is not in a database, or not in that connection's.
            LogError: as `Log.append` does.
        """
        log, drafts = _transactional(self._log), [Draft(payload)]
        appended = log.append_within_sync(connection, topic, drafts, key=key, close=close)
        engine = self.engine
        if engine is not None and engine.is_usable():
            engine.loop.call_soon_threadsafe(self._note, topic, drafts, appended)
        return appended.position

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

    def _note(self, topic: str, drafts: list[Draft], appended: Appended) -> None:
        if self.engine is not None:
            self.engine.count(topic, drafts, appended)


def _transactional(log: Log) -> TransactionalLog:
    if not isinstance(log, TransactionalLog):
        raise ConfigurationError(
            f"within= needs a log in the database of that connection, and this hub has a {type(log).__name__}: give "
            "Hub('postgresql://…')"
        )
    return log
