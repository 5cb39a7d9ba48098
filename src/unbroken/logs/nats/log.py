"""The log in a stream of NATS JetStream."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, TypeVar

from unbroken.logs.batch import check_batch, check_name
from unbroken.logs.contract import Appended, Draft, Guarantees, Head, Listener, Page, Retention
from unbroken.logs.nats.connection import Lost, check_creds
from unbroken.logs.nats.heads import Heads
from unbroken.logs.nats.jetstream import StreamMissing
from unbroken.logs.nats.link import Link
from unbroken.logs.nats.place import Place, place_of, settings_of
from unbroken.logs.nats.plan import Job
from unbroken.logs.nats.reading import Reader
from unbroken.logs.nats.record import FORGET, Record
from unbroken.logs.nats.subjects import Subjects
from unbroken.logs.nats.trimming import Trimmer
from unbroken.logs.nats.writer import Desk, Writer

__all__ = ["NATSLog", "from_url"]

T = TypeVar("T")


def from_url(url: str) -> NATSLog:
    """Return the log that a URL such as `nats://host:4222?stream=EVENTS&replicas=3` names, not yet connected.

    Raises:
        ConfigurationError: it names no server, or a setting that there is not.
    """
    return NATSLog(url, **settings_of(url))


class NATSLog:
    """Topics in a stream of JetStream, for all processes that reach one of its servers.

    One connection for each process, whatever the number of topics. To be opened in each process after it was forked.

    Args:
        url: The servers, `nats://user:password@one:4222,two:4222`; `tls://` to encrypt. A token stands where the user
            does. Settings in its query are for `from_url`, and not looked at here.
        stream: The stream's name. It is made if there is none.
        prefix: What the stream's subjects begin with.
        replicas: On how many servers the stream is kept, 1 to 5.
        storage: `file` or `memory`.
        timeout: Seconds after which a call raises `LogUnavailable`, 0.05 to 600.
        heartbeat_interval: Seconds between two heartbeats.
        heartbeat_timeout: Seconds after which a connection is dead whose heartbeat has no answer.
        creds: The path of a credentials file, with its JWT and key.
        ca: The path of the certificates that the servers' own are to be signed with.

    Raises:
        ConfigurationError: the URL names no server, or a setting is out of its range.
    """

    def __init__(self, url: str, **settings: Any) -> None:
        self._place = place_of(url, settings)
        check_creds(self._place)
        self.guarantees = _guarantees(self._place)
        self._subjects = Subjects(self._place.prefix)
        self._heads = Heads()
        self._writers: dict[str, Writer] = {}
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._watched: set[str] = set()
        self._listener: Listener | None = None
        self._link: Link | None = None
        self._desk: Desk | None = None
        self._process = 0
        self._loop: asyncio.AbstractEventLoop | None = None

    async def start(self, listener: Listener) -> None:
        """Connect, and make the stream if there is none. After `stop` it may be started again."""
        link = Link(self._place, listener, self._tell, self._heads.clear)
        try:
            await link.start()
        except BaseException:
            await link.stop()
            raise
        self._heads.clear()
        self._writers, self._tasks = {}, {}  # of a loop that was closed without a stop
        self._process, self._loop = os.getpid(), asyncio.get_running_loop()
        self._listener, self._link = listener, link
        self._desk = Desk(self._place, link, self._heads, Reader(link, self._heads, self._subjects), self._subjects)

    async def stop(self) -> None:
        """Finish the appends that were begun, for as long as `timeout` at most, and close the connection."""
        link, self._link, self._desk = self._link, None, None
        if link is None or self._process != os.getpid() or self._loop is not asyncio.get_running_loop():
            return  # a fork has nothing of its own; a loop that was closed without a stop has closed the connection
        self._watched.clear()
        try:
            if self._tasks:
                await asyncio.wait(list(self._tasks.values()), timeout=self._place.timeout)
        finally:
            await self._abandon()
            await link.stop()

    async def _abandon(self) -> None:
        """Refuse what is not done."""
        tasks = list(self._tasks.values())
        for task in tasks:
            task.cancel()
        for writer in self._writers.values():
            writer.fail(self._place.unavailable("the log was stopped"))
        self._writers.clear()
        if tasks:
            await asyncio.wait(tasks)

    async def append(
        self,
        topic: str,
        drafts: Sequence[Draft],
        *,
        key: str | None = None,
        fence: int | None = None,
        close: bool = False,
    ) -> Appended:
        """Append a batch; those of one topic that come at once share a record. See `Log.append`."""
        check_batch(topic, drafts, key, fence, close)
        self._check(topic)
        return await self._append(topic, drafts, key, fence, close)

    async def read(self, topic: str, after: int, limit: int) -> Page:
        """Return a page; one that is near a megabyte ends."""
        self._check(topic)
        desk = self._open()
        while (page := await self._within(lambda: _again(lambda: desk.reader.page(topic, after, limit)))) is None:
            await self._append(topic, (), None, None, False)
        return page

    async def head(self, topic: str) -> Head:
        """Return the end of the topic."""
        return (await self.read(topic, 0, 0)).head

    async def trim(self, topic: str, retention: Retention) -> int:
        """Drop what is over the bounds, in steps between which others append."""
        self._check(topic)
        trimmer, gone, more = Trimmer(topic, retention, self._open()), 0, True
        while more:
            self._open()
            trimmed = await self._within(lambda: self._done(topic, self._writer(topic).work(trimmer.step)))
            gone, more = gone + trimmed.gone, trimmed.more
            if trimmed.forgotten and topic in self._watched and self._listener is not None:
                self._listener.on_doubt((topic,))
        return gone

    async def topics(self) -> Sequence[str]:
        """Return the names of all topics."""
        desk = self._open()
        return await self._within(lambda: _again(lambda: self._topics(desk)))

    async def watch(self, topic: str) -> None:
        """Tell the listener of this topic from now on."""
        self._check(topic)
        link, is_watched = self._open().link, topic in self._watched
        self._watched.add(topic)
        try:
            await self._within(lambda: link.watch(topic))
        except BaseException:
            if not is_watched:  # or who watches it already would be told no more
                self._watched.discard(topic)
                await link.unwatch(topic)
            raise

    async def unwatch(self, topic: str) -> None:
        """Tell the listener no more of this topic."""
        self._watched.discard(topic)
        if self._link is not None:
            await self._link.unwatch(topic)

    async def _append(
        self, topic: str, drafts: Sequence[Draft], key: str | None, fence: int | None, close: bool
    ) -> Appended:
        self._open()
        loop = asyncio.get_running_loop()
        end = loop.time() + self._place.timeout

        def submit() -> Awaitable[Appended]:
            job = Job(drafts, key, fence, close, end, loop.create_future())
            self._writer(topic).submit(job)
            return self._done(topic, job.future)

        return await self._within(submit)

    async def _done(self, topic: str, future: asyncio.Future[T]) -> T:
        """Have the topic's writer work, and wait for what it makes of this."""
        if topic not in self._tasks:
            task = asyncio.get_running_loop().create_task(
                self._write(topic, self._writers[topic]), name="unbroken NATS writer"
            )
            if not task.done():
                self._tasks[topic] = task
        return await future

    async def _write(self, topic: str, writer: Writer) -> None:
        try:
            await asyncio.sleep(0)  # what comes in this turn goes into one record
            await writer.run()
        finally:
            self._tasks.pop(topic, None)
            self._writers.pop(topic, None)

    async def _topics(self, desk: Desk) -> Sequence[str]:
        jetstream = await desk.link.jetstream()
        return [self._subjects.name(subject) for subject in await jetstream.subjects(self._subjects.topics)]

    async def _within(self, do: Callable[[], Awaitable[T]]) -> T:
        """Wait for it as long as `timeout`. It is done again if the stream was missing, and was made anew.

        Raises:
            LogUnavailable: it took longer; the text says what keeps us waiting.
        """
        link = self._link
        try:
            async with asyncio.timeout(self._place.timeout):
                try:
                    return await do()
                except StreamMissing:
                    await self._open().link.repair()
                    return await do()
        except TimeoutError:
            why = "the log was stopped" if link is None else link.explain()
            if link is not None:
                link.doubt()
            raise self._place.unavailable(f"{why}, within {self._place.timeout:g} s") from None
        except ValueError as error:
            raise self._place.unavailable(
                f"a message of the stream {self._place.stream} is not ours: {error}"
            ) from error

    def _writer(self, topic: str) -> Writer:
        writer = self._writers.get(topic)
        if writer is None:
            writer = self._writers[topic] = Writer(topic, self._open())
        return writer

    def _check(self, topic: str) -> None:
        check_name("topic", topic)
        self._subjects.topic(topic)  # refuses one that is too long

    def _tell(self, topic: str, place: int, data: bytes) -> None:
        """Pass on what the server has published."""
        listener = self._listener
        if listener is None or self._link is None:
            return
        try:
            record = Record.decode(data, place)
        except ValueError:
            listener.on_doubt((topic,))
            return
        self._heads.hear(topic, record)
        if record.parts or record.kind == FORGET:
            listener.on_doubt((topic,))
        elif record.lines or record.state.closed:
            listener.on_entries(topic, record.state.epoch, record.entries(), record.state.closed)

    def _open(self) -> Desk:
        if self._desk is None:
            raise self._place.unavailable("the log is not open: it was not started yet, or was stopped")
        if self._process != os.getpid():
            parent = f"it was opened by process {self._process}, of which this one is a fork"
            raise self._place.unavailable(f"the log cannot be used here: {parent}; open one in each process")
        return self._desk


async def _again(read: Callable[[], Awaitable[T]]) -> T:
    """Read, and read again over the next connection if one was lost; for as long as the caller waits."""
    while True:
        try:
            return await read()
        except Lost:
            await asyncio.sleep(0)


def _guarantees(place: Place) -> Guarantees:
    spread = place.replicas >= 3
    return Guarantees(
        survives_process=True,
        survives_machine=spread and place.storage == "file",
        shared=True,
        hints_may_be_lost=True,
        can_lose=_LOSSES[place.storage, spread],
    )


_LOSSES = {
    ("file", False): "Up to two minutes of events, when the server's machine loses its power, unless the server "
    "has sync_interval: always; or all, with its disk.",
    ("file", True): "Nothing that was acknowledged, unless most of the servers lose their power or disks at once.",
    ("memory", False): "Everything, when the server ends; readers that come back are told of a gap.",
    ("memory", True): "Everything, when most of the servers end at once; readers that come back are told of a gap.",
}
