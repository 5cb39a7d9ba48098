"""The one thread of a process that writes to the file."""

from __future__ import annotations

import asyncio
import os
import queue
import sqlite3
import threading
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from unbroken.errors import LogError, LogUnavailable
from unbroken.logs.contract import Listener
from unbroken.logs.sqlite.following import Follower, end_of
from unbroken.logs.sqlite.place import Place
from unbroken.logs.sqlite.schema import open_writer
from unbroken.logs.sqlite.transaction import News, Transaction

__all__ = ["Writer"]

T = TypeVar("T")

GROUP = 256
"""Jobs of one transaction at most: they share one wait for the disk, and wait for each other."""

GROUP_BYTES = 4 * 1024 * 1024
"""Payload of one transaction, about."""

WAL_BYTES = 4 * 1024 * 1024
"""The journal is copied back into the file when it is longer: a thousand pages, as SQLite does by itself."""

CHECKPOINT_TIMEOUT = 1.0
"""Seconds to wait for the others for that: long against a commit, short against a backup that reads."""


@dataclass(frozen=True, slots=True)
class _Job:
    """What is to be done in a transaction, and who waits for it."""

    work: Callable[[Transaction], Any]
    future: asyncio.Future[Any]
    size: int


@dataclass(frozen=True, slots=True)
class _Watch:
    """Begin to follow the others, and say when."""

    future: asyncio.Future[Any]


@dataclass(frozen=True, slots=True)
class _Outcome:
    """What became of a job; told on the loop."""

    future: asyncio.Future[Any]
    result: object = None
    error: Exception | None = None

    def tell(self) -> None:
        if self.future.done():  # cancelled, while we were at it
            return
        if self.error is None:
            self.future.set_result(self.result)
        else:
            self.future.set_exception(self.error)


class _NotBegun(Exception):  # noqa: N818 # never leaves this module
    """No job of the group was tried: the file could not be opened, or its lock not be had."""


class Writer:
    """Does the jobs it is given, in their order, in groups; and tells the listener of what is new.

    `start`, `submit`, `watch` and `stop` are called on the event loop; the rest is the thread's.
    Every future that it gave out is resolved, also when the thread dies.
    """

    def __init__(self, place: Place, listener: Listener, watched: Collection[str]) -> None:
        self._place = place
        self._listener = listener
        self._watched = watched
        self._loop = asyncio.get_running_loop()
        # No bound of its own: whatever waits here is a caller that waits.
        self._queue: queue.SimpleQueue[_Job | _Watch | None] = queue.SimpleQueue()
        self._follower = Follower(watched)
        self._connection: sqlite3.Connection | None = None
        self._identity: tuple[int, int] | None = None
        self._wal_limit = WAL_BYTES
        self._in_hand: Sequence[_Job | _Watch] = ()
        self._stopping = False
        self._dead: Exception | None = None
        self._opened: asyncio.Future[Any] = self._loop.create_future()
        self._ended: asyncio.Future[Any] = self._loop.create_future()
        # A daemon: a program that forgot to stop the log ends all the same. What was acknowledged is written by then.
        self._thread = threading.Thread(target=self._run, name="unbroken-sqlite-writer", daemon=True)

    async def start(self) -> None:
        """Start the thread and open the file.

        Raises:
            LogUnavailable: it cannot be opened.
        """
        self._thread.start()
        await asyncio.shield(self._opened)

    def submit(self, work: Callable[[Transaction], T], size: int = 0) -> asyncio.Future[T]:
        """Have `work` done in a transaction; the future is resolved after its commit, or with its error."""
        future: asyncio.Future[T] = self._loop.create_future()
        self._put(_Job(work, future, size))
        return future

    def watch(self) -> asyncio.Future[None]:
        """Have the others followed, from before the future is resolved."""
        future: asyncio.Future[None] = self._loop.create_future()
        self._put(_Watch(future))
        return future

    async def stop(self) -> None:
        """Finish what was submitted, close the file and end the thread."""
        self._queue.put(None)
        if self._loop is asyncio.get_running_loop():
            await asyncio.shield(self._ended)
            self._thread.join()  # it has nothing left but to return
        else:  # its own loop was closed without a stop, and nobody is told anything there any more
            await asyncio.to_thread(self._thread.join)

    def abandon(self) -> None:
        """End the thread when it has opened the file, or failed to; nobody waits for it."""
        self._queue.put(None)

    def _put(self, item: _Job | _Watch) -> None:
        self._queue.put(item)
        if self._dead is not None:
            # The thread empties the queue after it has set `_dead`, so that what is put before is failed by it.
            self._fail_queued(self._dead)

    def _run(self) -> None:
        try:
            self._open()
            self._tell([_Outcome(self._opened)])
            while not self._stopping:
                self._turn()
        except Exception as error:  # noqa: BLE001 # whatever it is, those who wait are told
            self._die(error)
        finally:
            self._close()
            self._tell([_Outcome(self._ended)])

    def _die(self, error: Exception) -> None:
        reason = error if isinstance(error, LogUnavailable) else self._place.unavailable(error)
        self._tell([_Outcome(future, error=reason) for future in (self._opened, *(i.future for i in self._in_hand))])
        self._dead = reason
        self._tell_later(lambda: self._fail_queued(reason))

    def _fail_queued(self, error: Exception) -> None:
        """Fail all that waits. On the loop."""
        while True:
            try:
                item = self._queue.get_nowait()
            except queue.Empty:
                return
            if item is not None and not item.future.done():
                item.future.set_exception(error)

    def _turn(self) -> None:
        jobs, watches = self._take()
        self._in_hand = [*jobs, *watches]
        if watches:
            self._begin_following(watches)
        if jobs:
            self._do(jobs)
        elif self._follower.active and not self._stopping:
            self._look()

    def _take(self) -> tuple[list[_Job], list[_Watch]]:
        """Wait for something to do, or until the others are to be looked at; then take all that has queued."""
        jobs, watches, size = list[_Job](), list[_Watch](), 0
        if not self._watched:
            self._follower.rest()
        timeout = self._place.poll_interval if self._follower.active else None
        try:
            item = self._queue.get(timeout=timeout)
            while item is not None:
                if isinstance(item, _Watch):
                    watches.append(item)
                elif not item.future.cancelled():
                    jobs.append(item)
                    size += item.size
                if len(jobs) >= GROUP or size >= GROUP_BYTES:
                    return jobs, watches
                item = self._queue.get_nowait()
            self._stopping = True
        except queue.Empty:
            pass
        return jobs, watches

    def _do(self, jobs: Sequence[_Job]) -> None:
        """Do a group in one transaction. If that fails, each by itself: one may be too large for the disk."""
        try:
            outcomes, news, sure = self._transact(jobs)
        except _NotBegun as error:
            self._tell([_Outcome(job.future, error=self._reason(error.__cause__)) for job in jobs])
        except Exception as error:  # noqa: BLE001 # each caller gets the error of its own
            self._undo()
            if len(jobs) > 1:
                for job in jobs:
                    self._do([job])
            else:
                self._tell([_Outcome(jobs[0].future, error=self._reason(error))])
        else:
            self._tell(outcomes, news, sure)
            self._checkpoint()

    def _transact(self, jobs: Sequence[_Job]) -> tuple[list[_Outcome], dict[tuple[str, str], News], bool]:
        connection = self._begin()
        transaction = Transaction(connection)
        sure = self._follower.look(connection, transaction.news) if self._follower.active else True
        outcomes = [_try(job, transaction) for job in jobs]
        transaction.finish()
        mark = end_of(connection) if self._follower.active else None
        connection.execute("COMMIT")
        if mark is not None:
            self._follower.move(mark)
        return outcomes, transaction.news, sure

    def _begin(self) -> sqlite3.Connection:
        try:
            connection = self._current()
            connection.execute("BEGIN IMMEDIATE")
        except (sqlite3.Error, LogUnavailable) as error:
            raise _NotBegun from error
        return connection

    def _undo(self) -> None:
        self._follower.lose()  # with the transaction went what was found of the others
        if self._connection is not None and self._connection.in_transaction:
            try:
                self._connection.execute("ROLLBACK")
            except sqlite3.Error:
                self._close()

    def _reason(self, error: BaseException | None) -> Exception:
        if isinstance(error, sqlite3.Error | OverflowError):
            return self._place.unavailable(error)
        assert isinstance(error, Exception)
        return error

    def _begin_following(self, watches: Sequence[_Watch]) -> None:
        try:
            self._follower.begin(self._current())
        except (sqlite3.Error, LogUnavailable) as error:
            self._tell([_Outcome(watch.future, error=self._reason(error)) for watch in watches])
        else:
            self._tell([_Outcome(watch.future) for watch in watches])

    def _look(self) -> None:
        """Tell what the others have appended; a look that fails is a doubt, as soon as one succeeds."""
        news = dict[tuple[str, str], News]()
        try:
            sure = self._follower.look(self._current(), news)
        except (sqlite3.Error, LogUnavailable):
            self._follower.lose()
            return
        if news or not sure:
            self._tell((), news, sure)

    def _checkpoint(self) -> None:
        """Copy the journal back into the file, when it is long."""
        # Only we do it, and with TRUNCATE, which takes the write lock first: before SQLite 3.51.3 a checkpoint that
        # began beside a commit could overlook that the journal was begun anew, and lose pages. It goes without the lock
        # only where a commit of another process outlasts the timeout.
        if self._connection is None or _length(self._place) < self._wal_limit:
            return
        self._connection.execute(f"PRAGMA busy_timeout = {CHECKPOINT_TIMEOUT * 1000:.0f}")
        try:
            busy = self._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0]
        except sqlite3.Error:
            busy = 1
        finally:
            self._connection.execute(f"PRAGMA busy_timeout = {self._place.busy_timeout * 1000:.0f}")
        # Somebody reads for long, such as a backup: appends must not wait for him at every turn.
        self._wal_limit = self._wal_limit * 2 if busy else WAL_BYTES

    def _tell(
        self, outcomes: Iterable[_Outcome], news: dict[tuple[str, str], News] | None = None, sure: bool = True
    ) -> None:
        self._tell_later(lambda: self._on_loop(outcomes, news or {}, sure))

    def _tell_later(self, call: Callable[[], None]) -> None:
        try:
            self._loop.call_soon_threadsafe(call)
        except RuntimeError:
            self._stopping = True  # the loop is closed: nobody is there to be told

    def _on_loop(self, outcomes: Iterable[_Outcome], news: dict[tuple[str, str], News], sure: bool) -> None:
        try:
            self._tell_listener(news, sure)
        finally:  # those who wait are answered, whatever a listener does
            for outcome in outcomes:
                outcome.tell()

    def _tell_listener(self, news: dict[tuple[str, str], News], sure: bool) -> None:
        for (topic, epoch), new in news.items():
            if topic in self._watched:
                self._listener.on_entries(topic, epoch, new.entries, new.closed)
        if not sure:
            self._listener.on_doubt(None)

    def _current(self) -> sqlite3.Connection:
        """Return the connection to the file that stands at the path now: it may have been replaced by a copy."""
        if self._connection is None or self._identity != self._place.identity():
            self._close()
            self._follower.lose()
            self._open()
        assert self._connection is not None
        return self._connection

    def _open(self) -> None:
        self._connection = open_writer(self._place)
        self._identity = self._place.identity()

    def _close(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()


def _try(job: _Job, transaction: Transaction) -> _Outcome:
    """Do one job; what the contract refuses is refused before anything is written, and leaves the others alone."""
    try:
        return _Outcome(job.future, job.work(transaction))
    except LogError as error:
        return _Outcome(job.future, error=error)


def _length(place: Place) -> int:
    try:
        return os.stat(place.wal).st_size  # noqa: PTH116 # after each group
    except OSError:
        return 0
