"""Where a client keeps its place, so that a program that starts again goes on behind the last event it has handled."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Protocol, runtime_checkable

from unbroken.errors import ConfigurationError

__all__ = ["FileStore", "MemoryStore", "Store", "StoreLike", "as_store"]

MAX_ID_BYTES = 65536
"""No server takes back an id in a header that is nearly as long; a file that is longer is not ours."""


@runtime_checkable
class Store(Protocol):
    """Keeps one stream's last event ID. Both methods may be coroutine functions where an `EventSource` uses them."""

    def load(self) -> str | Awaitable[str | None] | None:
        """Return what was saved last, or None if there is nothing. Called once, before the first connection."""
        ...

    def save(self, last_event_id: str) -> Awaitable[None] | None:
        """Keep an id; `""` means that the server has taken its ids back, and is as nothing.

        Called when the program asks for the next event, with the id of the one before, which it has handled then;
        and when the client is left without an exception. What it raises ends the reading.
        """
        ...


StoreLike = Store | str | os.PathLike[str] | Callable[[str], Awaitable[None] | None]


class MemoryStore:
    """Keeps the id in this object: to go on with another client later in the same program."""

    __slots__ = ("last_event_id",)

    def __init__(self, last_event_id: str | None = None) -> None:
        self.last_event_id = last_event_id

    def load(self) -> str | None:
        """Return what was saved last."""
        return self.last_event_id

    def save(self, last_event_id: str) -> None:
        """Keep an id."""
        self.last_event_id = last_event_id


class FileStore:
    """Keeps the id in a file, which always holds one whole id: it is written beside it, and moved there.

    Survives the program's end, a SIGKILL too. A loss of power may set it back, or lose it, unless `durable`. One file
    for one stream, and for one reader at a time.

    Args:
        path: The file. Its folder must exist.
        durable: Wait for the disk at each save; some milliseconds each.
    """

    __slots__ = ("_durable", "_path")

    def __init__(self, path: str | os.PathLike[str], *, durable: bool = False) -> None:
        self._path = Path(path)
        self._durable = durable

    def load(self) -> str | None:
        """Return what the file holds, None if there is no file or nothing in it.

        Raises:
            ConfigurationError: it cannot be read, or holds what is no id.
        """
        try:
            with self._path.open("rb") as file:
                content = file.read(MAX_ID_BYTES + 1)
        except FileNotFoundError:
            return None
        except OSError as error:
            raise ConfigurationError(f"store {self._path}: {error.strerror}; give a file of its own") from error
        return self._decoded(content)

    def save(self, last_event_id: str) -> None:
        """Replace the file.

        Raises:
            ConfigurationError: it cannot be written.
        """
        content = last_event_id.encode()
        if len(content) > MAX_ID_BYTES:
            raise ConfigurationError(
                f"store {self._path}: an id of {len(content)} bytes was not saved: no server takes back one of "
                f"more than {MAX_ID_BYTES}"
            )
        aside = self._path.with_name(f"{self._path.name}.{os.getpid()}.tmp")
        try:
            self._write(aside, content)
            aside.replace(self._path)
            if self._durable:
                _sync(self._path.parent)
        except OSError as error:
            with contextlib.suppress(OSError):
                aside.unlink()
            raise ConfigurationError(f"store {self._path}: {error.strerror}; the place was not saved") from error

    def _write(self, path: Path, content: bytes) -> None:
        with path.open("wb") as file:
            file.write(content)
            if self._durable:
                file.flush()
                os.fsync(file.fileno())

    def _decoded(self, content: bytes) -> str | None:
        try:
            text = content.decode()
        except UnicodeDecodeError:
            text = "\0"
        if len(content) > MAX_ID_BYTES or any(odd in text for odd in "\r\n\0"):
            raise ConfigurationError(f"store {self._path} holds no last event ID; give a file of its own")
        return text or None


def _sync(folder: Path) -> None:
    # A file that was moved is there after a loss of power only if its folder is written too.
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


class _Caller:
    """Saves by calling, and has nothing to load."""

    __slots__ = ("save",)

    def __init__(self, save: Callable[[str], Awaitable[None] | None]) -> None:
        self.save = save

    def load(self) -> None:
        return None


def as_store(store: StoreLike | None) -> Store | None:
    """Return the store that an argument stands for.

    Raises:
        ConfigurationError: it is none.
    """
    if store is None or isinstance(store, Store):
        return store
    if isinstance(store, str | os.PathLike):
        return FileStore(store)
    if callable(store):
        return _Caller(store)
    raise ConfigurationError(
        f"store={store!r} is none: give a path, an object with load() and save(id), or a callable that is given each id"
    )
