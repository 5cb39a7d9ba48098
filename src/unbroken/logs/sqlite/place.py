"""Where the file is, how it is used, and what its errors mean."""

from __future__ import annotations

import os
import sqlite3
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import parse_qsl, unquote, urlsplit

from unbroken.errors import ConfigurationError, LogUnavailable

__all__ = ["Place", "place_of"]

BUSY_TIMEOUT = 10.0
"""Seconds to wait for another process to finish writing. Ours hold the lock for milliseconds."""

POLL_INTERVAL = 0.005
"""Seconds between two looks for the entries of other processes: what they are late at most."""


@dataclass(frozen=True, slots=True)
class Place:
    """A file, and the settings of its URL."""

    path: Path
    synchronous: str = "full"
    poll_interval: float = POLL_INTERVAL
    busy_timeout: float = BUSY_TIMEOUT

    @property
    def wal(self) -> Path:
        """SQLite's journal beside the file."""
        return self.path.with_name(f"{self.path.name}-wal")

    def identity(self) -> tuple[int, int] | None:
        """Say which file stands at the path now; None if there is none."""
        try:
            found = os.stat(self.path)  # noqa: PTH116 # 1 µs less, before each group and each page
        except OSError:
            return None
        return found.st_dev, found.st_ino

    def unavailable(self, error: Exception) -> LogUnavailable:
        """Return the error for people: the path, what SQLite says, and what it means."""
        name = getattr(error, "sqlite_errorname", type(error).__name__)
        return LogUnavailable(f"the log {self.path} cannot be used: {error} ({name}){self._meaning(name)}")

    def _meaning(self, name: str) -> str:
        if name.startswith("SQLITE_CANTOPEN"):
            return self._why_closed()
        if name.startswith("SQLITE_BUSY"):
            return f"; another process has held its write lock for {self.busy_timeout:g} s"
        return next((text for start, text in _MEANINGS.items() if name.startswith(start)), "")

    def _why_closed(self) -> str:
        folder = self.path.parent
        if not folder.is_dir():
            return f"; there is no directory {folder}: make it first"
        if self.path.is_dir():
            return "; that is a directory: name a file in it"
        return f"; this process needs to read and write the file and its directory {folder}"


_MEANINGS = {
    "SQLITE_FULL": "; nothing of it was kept: free some room, since trimming needs some, too",
    "SQLITE_READONLY": "; this process needs to write the file and its directory",
    "SQLITE_NOTADB": "; that is no file of SQLite",
    "SQLITE_CORRUPT": "; restore it from a copy, without its -wal and -shm files",
    "SQLITE_IOERR": "; the disk failed, is full, or is a network file system, which SQLite's journal cannot be on",
    "SQLITE_PROTOCOL": "; its locks do not work, as on a network file system",
}


def place_of(url: str) -> Place:
    """Read a URL such as `sqlite:///events.db?synchronous=normal&poll_interval=0.02`.

    Raises:
        ConfigurationError: no path, or a setting that there is not.
    """
    parts = urlsplit(url)
    if parts.netloc or len(parts.path) < 2:
        raise ConfigurationError(
            f"{url!r} names no file: give sqlite:///events.db, or sqlite:////var/lib/app/events.db"
        )
    if parts.path == "/:memory:":
        raise ConfigurationError(f"{url!r} is no file: for topics in memory give memory://")
    settings = dict(parse_qsl(parts.query, keep_blank_values=True))
    synchronous = settings.pop("synchronous", "full")
    if synchronous not in ("full", "normal"):
        raise ConfigurationError(f"synchronous={synchronous!r} in {url!r} is neither full nor normal")
    poll_interval = _seconds(url, "poll_interval", settings.pop("poll_interval", None), POLL_INTERVAL)
    busy_timeout = _seconds(url, "busy_timeout", settings.pop("busy_timeout", None), BUSY_TIMEOUT)
    if settings:
        known = "synchronous, poll_interval and busy_timeout"
        raise ConfigurationError(f"{url!r} has no setting {', '.join(settings)}: there are {known}")
    # Absolute from now on: a process that changes its directory stays with its file.
    return Place(Path(unquote(parts.path[1:])).absolute(), synchronous, poll_interval, busy_timeout)


def _seconds(url: str, name: str, text: str | None, default: float) -> float:
    try:
        seconds = default if text is None else float(text)
    except ValueError:
        seconds = 0.0
    if not 0.0005 <= seconds <= 60:
        raise ConfigurationError(f"{name}={text} in {url!r} is no time: give seconds, from 0.0005 to 60")
    return seconds


def is_busy(error: sqlite3.Error) -> bool:
    """Say whether another connection had what was needed."""
    return getattr(error, "sqlite_errorname", "").startswith(("SQLITE_BUSY", "SQLITE_LOCKED"))
