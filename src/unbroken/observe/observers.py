"""Who is told of streams: any number of observers, for the whole process.

    attach(PrometheusObserver())

An observer is called on the event loop of the stream, between its other work: it
must not block. With event loops in several threads it is called from each of them.
What it raises is logged, and harms no stream.
"""

from __future__ import annotations

import threading

from unbroken.observe.log import LoggingObserver, logger
from unbroken.observe.observer import Observer

__all__ = ["attach", "attached", "default_log", "detach", "tell"]

default_log = LoggingObserver()
"""Attached from the start; `detach(default_log)` silences it."""

_attached: tuple[Observer, ...] = (default_log,)
_changing = threading.Lock()


def attach(observer: Observer) -> None:
    """Have `observer` told of all streams of this process from now on. Attaching it twice changes nothing.

    May be called from any thread.
    """
    global _attached
    with _changing:
        if not any(other is observer for other in _attached):  # equal is not the same: a dataclass without fields
            _attached = (*_attached, observer)


def detach(observer: Observer) -> None:
    """Tell `observer` nothing any more, not even the ends of streams whose beginning it was told.

    May be called from any thread. One that was never attached is no error.
    """
    global _attached
    with _changing:
        _attached = tuple(other for other in _attached if other is not observer)


def attached() -> tuple[Observer, ...]:
    """Return who is told, in order."""
    return _attached


def tell(method: str, news: object) -> None:
    """Call `method` of every observer with `news`."""
    for observer in _attached:
        try:
            getattr(observer, method)(news)
        except Exception:  # noqa: BLE001 - an observer's fault must not look like the stream's
            logger.exception("%r failed in %s()", observer, method)
