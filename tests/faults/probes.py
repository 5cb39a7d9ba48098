"""What one stream's generator noted of its own life, and the log lines that were written meanwhile."""

from __future__ import annotations

import asyncio
import logging
import threading
import time
import weakref
from collections.abc import AsyncGenerator, Generator
from contextvars import ContextVar
from typing import Any

from unbroken.observe import StreamRecord

__all__ = ["LOG", "PROBES", "LogKeeper", "Probe", "current_probe"]

current_probe: ContextVar[str | None] = ContextVar("current_probe", default=None)
"""The probe in whose request this code runs; a log line written by the server itself belongs to none."""


class Probe:
    """The notes of one stream. It must not keep what it watches alive."""

    def __init__(self, name: str, client_port: int) -> None:
        self.name = name
        self.client_port = client_port
        self.template = "{}"
        """What an item is: plain data, or wire text where the response does not encode."""
        self.patience = 0.5
        """Seconds after which a generator that fails does so by itself."""
        self.position = "start"
        self.items = 0
        self.seen: list[list[str]] = []
        self.resets = 0
        self.resource = "unused"
        self.finally_entered = 0
        self.finally_done = 0
        self.finally_at_home = True
        self.records: list[dict[str, object]] = []
        self.asgi = "running"
        self.generator: weakref.ref[Any] | None = None
        self._loop_thread = threading.get_ident()
        self._task: weakref.ref[asyncio.Task[Any]] | None = None

    def watch(self, generator: AsyncGenerator[object, None] | Generator[object, None, None]) -> None:
        """Be able to say whether `generator` was freed."""
        self.generator = weakref.ref(generator)

    def item(self, size: int = 0) -> str:
        """Make the next item, which the caller yields at once."""
        if self._task is None and threading.get_ident() == self._loop_thread:
            self._task = weakref.ref(_running_task())
        self.items += 1
        self.position = "yield"
        return self.template.format(f"{self.items} {'x' * size}")

    def saw(self, exc: BaseException, where: str | None = None) -> None:
        """Note an exception that reached the generator, and where it stood."""
        self.seen.append([type(exc).__name__, where or self.position])
        self.resets += isinstance(exc, ConnectionResetError)

    async def clean_up(self) -> None:
        """Await twice, as closing a connection to a database does."""
        self.finally_entered += 1
        self.finally_at_home = self._task is not None and self._task() is _running_task()
        await asyncio.sleep(0.01)
        await asyncio.sleep(0.01)
        self.finally_done += 1

    def clean_up_blocking(self) -> None:
        """Block twice; on the loop's thread that would hold up every stream."""
        self.finally_entered += 1
        self.finally_at_home = threading.get_ident() != self._loop_thread
        time.sleep(0.01)
        time.sleep(0.01)
        self.finally_done += 1

    def close(self, record: StreamRecord) -> None:
        """Keep what a record says; the record itself holds exceptions, and they hold frames."""
        self.records.append(
            {
                "reason": record.reason.value,
                "cleanup": record.cleanup.value,
                "error": type(record.error).__name__ if record.error else None,
                "events": record.events,
                "discarded": record.discarded,
                "heartbeats": record.heartbeats,
            }
        )

    def notes(self, open_peers: set[int]) -> dict[str, object]:
        """Say everything as JSON can carry it."""
        return {
            "position": self.position,
            "items": self.items,
            "seen": self.seen,
            "resets": self.resets,
            "resource": self.resource,
            "finally_entered": self.finally_entered,
            "finally_done": self.finally_done,
            "finally_at_home": self.finally_at_home,
            "records": self.records,
            "asgi": self.asgi,
            "generator_alive": self.generator is not None and self.generator() is not None,
            "socket_open": self.client_port in open_peers,
            "log": [line for line in LOG if line["probe"] == self.name],
        }


PROBES: dict[str, Probe] = {}
LOG: list[dict[str, str | None]] = []


class LogKeeper(logging.Handler):
    """Keeps every line above INFO, with the probe it was written for."""

    def __init__(self) -> None:
        super().__init__(logging.INFO + 1)

    def emit(self, record: logging.LogRecord) -> None:
        """Keep the line, but nothing that the line refers to."""
        error = record.exc_info[0] if record.exc_info else None
        LOG.append(
            {
                "probe": current_probe.get(),
                "logger": record.name,
                "level": record.levelname,
                "message": record.getMessage(),
                "error": error.__name__ if error else None,
            }
        )

    def attach(self) -> None:
        """Hear the root logger, and every logger that its server has cut off from the root."""
        if not logging.root.handlers:
            # As without us: lines above INFO that nobody handles go to standard error (logging.lastResort).
            logging.root.addHandler(logging.lastResort or logging.NullHandler())
        loggers = [known for known in logging.root.manager.loggerDict.values() if isinstance(known, logging.Logger)]
        for logger in (logging.root, *(logger for logger in loggers if not logger.propagate)):
            if self not in logger.handlers:
                logger.addHandler(self)


def _running_task() -> asyncio.Task[Any]:
    task = asyncio.current_task()
    assert task is not None
    return task
