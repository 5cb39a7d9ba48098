"""A log, or a hub on it, for the time of one command."""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection, Sequence
from contextlib import asynccontextmanager

from unbroken import Hub
from unbroken.errors import ConfigurationError
from unbroken.logs import Entry, Log, Retention, open_log

__all__ = ["KEEP_ALL", "log_at", "opened_hub", "opened_log"]

KEEP_ALL = Retention(max_events=None, max_age=None, max_bytes=None, key_age=1e9, forget_after=None)
"""A hub trims every so often, by its own retention. The application's is not known here, and may keep more."""


@asynccontextmanager
async def opened_hub(url: str) -> AsyncIterator[Hub]:
    """Open a hub on a log, which drops nothing from it.

    Raises:
        ConfigurationError: as `log_at`.
        LogUnavailable: it cannot be opened.
    """
    async with Hub(log_at(url), retention=KEEP_ALL) as hub:
        yield hub


@asynccontextmanager
async def opened_log(url: str) -> AsyncIterator[Log]:
    """Open a log.

    Raises:
        ConfigurationError: as `log_at`.
        LogUnavailable: it cannot be opened.
    """
    log = log_at(url)
    await log.start(_Nobody())
    try:
        yield log
    finally:
        await log.stop()


def log_at(url: str) -> Log:
    """Return a log that this process can share with an application.

    Raises:
        ConfigurationError: the URL names none, one that another process has for itself, or a file that is not there
            or empty.
    """
    log = open_log(url)
    if not log.guarantees.shared:
        raise ConfigurationError(
            f"{url!r} is in the memory of the process that opened it: no other can see its topics. Give the URL of a "
            "log that processes share, such as sqlite:///events.db"
        )
    _refuse_missing_file(url)
    return log


def _refuse_missing_file(url: str) -> None:
    """Refuse a file that there is not, or is empty: a log would be made, where only the name was wrong."""
    if not url.startswith("sqlite:"):
        return
    from unbroken.logs.sqlite.place import place_of

    place = place_of(url)
    if place.identity() is None:
        raise ConfigurationError(
            f"there is no file {place.path}: three slashes and a path begin at the working directory, "
            "sqlite:////var/lib/app/events.db at the root"
        )
    if place.path.stat().st_size == 0:
        raise ConfigurationError(f"the file {place.path} is empty: no hub has made a log of it yet")


class _Nobody:
    """Who watches no topic, and is told nothing."""

    def on_entries(self, topic: str, epoch: str, entries: Sequence[Entry], closed: bool) -> None: ...
    def on_doubt(self, topics: Collection[str] | None) -> None: ...
    def on_trouble(self, why: str | None) -> None: ...
