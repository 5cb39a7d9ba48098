"""The log in a file of SQLite."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import replace

from unbroken.errors import LogUnavailable
from unbroken.logs.batch import check_batch, check_name
from unbroken.logs.contract import Appended, Draft, Guarantees, Head, Listener, Page, Retention
from unbroken.logs.sqlite import reading
from unbroken.logs.sqlite.forks import note_closed, note_opened, refuse_inherited
from unbroken.logs.sqlite.place import Place, place_of
from unbroken.logs.sqlite.reading import Readers
from unbroken.logs.sqlite.writer import Writer

__all__ = ["SQLiteLog", "from_url"]

_FULL = Guarantees(
    survives_process=True,
    survives_machine=True,
    shared=True,
    hints_may_be_lost=False,
    can_lose="Nothing that was acknowledged, unless the disk fails, or the file is replaced by an older copy.",
)

_NORMAL = replace(
    _FULL,
    survives_machine=False,
    can_lose="The newest events, when the machine loses its power; readers that had them are told of a gap.",
)


def from_url(url: str) -> SQLiteLog:
    """Return the log in the file that `url` names, not yet opened.

    Raises:
        ConfigurationError: no path, or a setting that there is not.
    """
    return SQLiteLog(place_of(url))


class SQLiteLog:
    """Topics in a file, for all processes of one machine that open it.

    One thread writes, and commits what has queued in one transaction; a few others read. To be opened in each process
    after it was forked.
    """

    def __init__(self, place: Place) -> None:
        self.guarantees = _FULL if place.synchronous == "full" else _NORMAL
        self._place = place
        self._watched: set[str] = set()
        self._listener: Listener | None = None
        self._writer: Writer | None = None
        self._readers = Readers(place)
        self._process = 0
        self._file: tuple[int, int] | None = None

    async def start(self, listener: Listener) -> None:
        """Open the file, and make it if there is none. After `stop` it may be started again."""
        refuse_inherited(self._place)
        writer = Writer(self._place, listener, self._watched)
        try:
            await writer.start()
        except BaseException:
            writer.abandon()  # or a cancelled opening would leave its thread and its connection behind
            raise
        self._file = note_opened(self._place)
        self._process, self._listener = os.getpid(), listener
        self._writer, self._readers = writer, Readers(self._place)

    async def stop(self) -> None:
        """Commit what has queued, and close the file."""
        writer, self._writer = self._writer, None
        if writer is None or self._process != os.getpid():
            return  # in a fork there is no thread to stop, and the file is the parent's
        self._watched.clear()
        try:
            await self._readers.stop()
        finally:
            await writer.stop()
            file, self._file = self._file, None
            note_closed(file)

    async def append(
        self,
        topic: str,
        drafts: Sequence[Draft],
        *,
        key: str | None = None,
        fence: int | None = None,
        close: bool = False,
    ) -> Appended:
        """Append a batch. See `Log.append`."""
        check_batch(topic, drafts, key, fence, close)
        size = sum(len(draft.payload) for draft in drafts)
        return await self._open().submit(lambda transaction: transaction.append(topic, drafts, key, fence, close), size)

    async def read(self, topic: str, after: int, limit: int) -> Page:
        """Return a page; one that is near a megabyte ends."""
        check_name("topic", topic)
        while (page := await self._page(topic, after, limit)) is None:
            await self._open().submit(lambda transaction: transaction.make(topic))
        return page

    async def head(self, topic: str) -> Head:
        """Return the end of the topic."""
        return (await self.read(topic, 0, 0)).head

    async def trim(self, topic: str, retention: Retention) -> int:
        """Drop what is over the bounds, in small steps between which others append."""
        check_name("topic", topic)
        gone, more = 0, True
        while more:
            trimmed = await self._open().submit(lambda transaction: transaction.trim(topic, retention))
            gone, more = gone + trimmed.gone, trimmed.more
            if trimmed.forgotten and topic in self._watched and self._listener is not None:
                self._listener.on_doubt((topic,))
        return gone

    async def topics(self) -> Sequence[str]:
        """Return the names of all topics."""
        self._open()
        return await self._readers.run(reading.topics)

    async def watch(self, topic: str) -> None:
        """Tell the listener of this topic from now on."""
        check_name("topic", topic)
        writer = self._open()
        self._watched.add(topic)
        try:
            await writer.watch()
        except LogUnavailable:
            self._watched.discard(topic)
            raise

    async def unwatch(self, topic: str) -> None:
        """Tell the listener no more of this topic. While none is watched, other processes are not looked at."""
        self._watched.discard(topic)

    async def _page(self, topic: str, after: int, limit: int) -> Page | None:
        self._open()
        return await self._readers.run(lambda connection: reading.page(connection, topic, after, limit))

    def _open(self) -> Writer:
        if self._writer is None:
            raise LogUnavailable(f"the log {self._place.path} is not open: it was not started yet, or was stopped")
        if self._process != os.getpid():
            parent = f"it was opened by process {self._process}, of which this one is a fork"
            raise LogUnavailable(f"the log {self._place.path} cannot be used here: {parent}; open one in each process")
        return self._writer
