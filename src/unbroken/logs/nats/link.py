"""The one connection of a process, which is made anew whenever it is lost."""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import Awaitable, Callable

from nats.aio.msg import Msg
from nats.aio.subscription import Subscription

from unbroken.errors import LogUnavailable
from unbroken.logs.contract import Listener
from unbroken.logs.nats.connection import Connection
from unbroken.logs.nats.jetstream import JetStream, StreamMissing
from unbroken.logs.nats.place import Place
from unbroken.logs.nats.stream import prepare
from unbroken.logs.nats.subjects import Subjects

__all__ = ["Link"]

BACKOFF = (0.1, 5.0)
"""Seconds before the second attempt to connect, and the most between two."""

CANCEL_INTERVAL = 0.2
"""Seconds until a task that goes on is cancelled again; longer than an orderly end takes."""

Tell = Callable[[str, int, bytes], None]
"""Takes a topic, a place in the stream, and a record as it was published."""


class Link:
    """Connects, notices that a connection is dead, connects again and watches what was watched.

    Owned by a log, on its loop. The heartbeat is a question to the stream's leader over the connection that hints come
    by: it finds what TCP does not tell, and a server that lives but serves no more.
    """

    def __init__(self, place: Place, listener: Listener, tell: Tell, on_lost: Callable[[], None]) -> None:
        self._place = place
        self._listener = listener
        self._tell = tell
        self._on_lost = on_lost
        self._subjects = Subjects(place.prefix)
        self._connection: Connection | None = None
        self._watched: dict[str, Subscription | None] = {}
        self._topics: dict[str, str] = {}
        """Of the live subjects."""
        self._connected = asyncio.Event()
        self._why = "the log is not connected"
        self._keeper: asyncio.Task[None] | None = None
        self._probe: asyncio.Task[None] | None = None
        self._stopped = False

    @property
    def max_payload(self) -> int:
        """The most bytes of a message, by the last server."""
        return 1024 * 1024 if self._connection is None else self._connection.max_payload

    async def start(self) -> None:
        """Connect.

        Raises:
            LogUnavailable: no server lets us in, or the stream cannot be used.
        """
        self._connection = await self._connect()
        self._connected.set()
        self._keeper = asyncio.get_running_loop().create_task(self._keep(), name="unbroken NATS")

    async def stop(self) -> None:
        """Close the connection; whoever waits for an answer is told."""
        self._stopped = True
        await self._end({task for task in (self._keeper, self._probe) if task is not None})
        if self._connection is not None:
            await self._connection.close("the log was stopped")
        self._connected.set()  # for those who wait to be told

    async def _end(self, tasks: set[asyncio.Task[None]]) -> None:
        """Cancel tasks until they have ended: before Python 3.12 `asyncio.wait_for` swallows one now and then."""
        loop = asyncio.get_running_loop()
        end = loop.time() + self._place.timeout
        while tasks and loop.time() < end:
            for task in tasks:
                task.cancel()
            _, tasks = await asyncio.wait(tasks, timeout=CANCEL_INTERVAL)

    async def jetstream(self) -> JetStream:
        """Return what to ask; wait for a connection while there is none, as long as the caller's deadline lets it.

        Raises:
            LogUnavailable: the link was stopped.
        """
        while self._connection is None or self._connection.lost.done() or not self._connected.is_set():
            if self._stopped:
                raise self._place.unavailable("the log was stopped")
            self._connected.clear()  # the keeper may not have noticed yet
            await self._connected.wait()
        return JetStream(self._place, self._connection)

    def doubt(self) -> None:
        """Have the connection tried now, and not at the next heartbeat: an answer has not come."""
        if self._connected.is_set() and self._connection is not None and (self._probe is None or self._probe.done()):
            self._probe = asyncio.get_running_loop().create_task(self._connection.probe(), name="unbroken NATS probe")

    def explain(self) -> str:
        """Say what keeps us waiting."""
        if self._connected.is_set() and self._connection is not None:
            return f"no answer came in time{self._connection.complaint}"
        return self._why

    async def watch(self, topic: str) -> None:
        """Have the records of a topic told, from before this returns.

        Raises:
            LogUnavailable: the server has not confirmed it.
        """
        jetstream = await self.jetstream()
        if self._watched.get(topic) is None:
            await self._subscribe(topic)
        await jetstream.answer()

    async def unwatch(self, topic: str) -> None:
        """Have them told no more."""
        subscription = self._watched.pop(topic, None)
        self._topics.pop(self._subjects.live(topic), None)
        if subscription is not None:
            await _unsubscribe(subscription)

    async def repair(self) -> bool:
        """Make the stream anew if it is gone, and say whether it was.

        What was in it is gone, too: every topic begins another epoch, and so its readers hear of it.

        Raises:
            LogUnavailable: it cannot be made.
        """
        connection = self._connection
        if connection is None or not await prepare(self._place, connection):
            return False
        self._on_lost()
        self._listener.on_doubt(None)
        return True

    async def _subscribe(self, topic: str) -> None:
        assert self._connection is not None
        subject = self._subjects.live(topic)
        self._watched.setdefault(topic, None)
        self._topics[subject] = topic

        def tell(message: Msg) -> None:
            if topic in self._watched:
                self._tell(topic, int((message.headers or {}).get("Nats-Sequence", 0)), message.data)

        subscription = await self._connection.subscribe(subject, tell)
        if topic in self._watched:
            self._watched[topic] = subscription
        else:  # it was unwatched meanwhile
            await _unsubscribe(subscription)

    async def _keep(self) -> None:
        """Keep a connection; whatever nats-py raises meanwhile, only `stop` or the loop's end is the end of it."""
        while not self._stopped:
            assert self._connection is not None
            try:
                self._lose(await self._until_lost(self._connection))
                await self._connection.close(self._why)
                await self._reconnect()
            except asyncio.CancelledError:
                if not self._stopped:
                    self._connection.abort("its event loop has ended")  # nobody can stop the log any more
                if self._stopped or _is_cancelled():
                    raise
            except Exception as error:  # noqa: BLE001 # an answer that no server gives
                self._connection.lose(f"it failed: {error!r}")
                await asyncio.sleep(BACKOFF[0])

    async def _until_lost(self, connection: Connection) -> str:
        while not connection.lost.done():
            await asyncio.wait((connection.lost,), timeout=self._place.heartbeat_interval)
            if not connection.lost.done():
                await self._beat(connection)
        return connection.lost.result()

    async def _beat(self, connection: Connection) -> None:
        """Ask the stream's leader for an answer; while there is none, see whether it is the connection's fault."""
        troubled = False
        while not connection.lost.done():
            try:
                async with asyncio.timeout(self._place.heartbeat_timeout):
                    await JetStream(self._place, connection).answer()
                    break
            except StreamMissing as error:
                troubled = self._trouble(connection, str(error), troubled)
                await self._repaired(connection)
            except TimeoutError:
                await connection.probe()
                why = f"the leader of stream {self._place.stream} has not answered its heartbeat"
                troubled = self._trouble(connection, str(self._place.unavailable(why)), troubled)
            except LogUnavailable:
                return
        if troubled and not connection.lost.done():
            self._listener.on_doubt(None)
            self._listener.on_trouble(None)

    def _trouble(self, connection: Connection, why: str, known: bool) -> bool:
        if not known and not connection.lost.done():
            self._listener.on_trouble(why)
        return True

    async def _repaired(self, connection: Connection) -> None:
        """Make the stream anew, or wait until it may be there again."""
        with contextlib.suppress(LogUnavailable, TimeoutError):
            async with asyncio.timeout(self._place.heartbeat_timeout):
                if await self.repair():
                    return
        await asyncio.wait((connection.lost,), timeout=self._place.heartbeat_timeout)

    def _lose(self, why: str) -> None:
        self._why = why
        self._connected.clear()
        self._on_lost()
        self._listener.on_trouble(str(self._place.unavailable(why)))

    async def _reconnect(self) -> None:
        delay, most = BACKOFF
        while True:
            try:
                self._connection = connection = await self._connect()
                try:
                    if self._stopped:  # the cancellation was swallowed
                        raise asyncio.CancelledError
                    await self._resubscribe(connection)
                except BaseException:
                    await connection.close("its subscriptions were not confirmed")
                    raise
                break
            except LogUnavailable as error:
                self._why = str(error).removeprefix(f"NATS at {self._place.shown}: ")
                self._listener.on_trouble(str(error))
            await asyncio.sleep(delay * random.uniform(0.5, 1.5))  # noqa: S311 - no secret
            delay = min(delay * 2, most)
        self._on_lost()  # once more: an answer that came with the loss may have been noted after it
        self._connected.set()
        self._listener.on_doubt(None)
        self._listener.on_trouble(None)

    async def _resubscribe(self, connection: Connection) -> None:
        for topic in tuple(self._watched):
            if topic in self._watched:
                await self._subscribe(topic)
        await self._within(connection, JetStream(self._place, connection).answer())

    async def _connect(self) -> Connection:
        """Try each server once, in another order each time: not all processes ask the same one."""
        servers = random.sample(self._place.servers, len(self._place.servers))
        for server in servers[:-1]:
            with contextlib.suppress(LogUnavailable):
                return await self._connect_to(server)
        return await self._connect_to(servers[-1])

    async def _connect_to(self, server: str) -> Connection:
        connection = Connection(self._place, self._on_overflow)
        await connection.open(server)
        try:
            await self._within(connection, prepare(self._place, connection))
        except BaseException:
            await connection.close("its stream cannot be used")
            raise
        return connection

    async def _within(self, connection: Connection, work: Awaitable[object]) -> None:
        try:
            async with asyncio.timeout(self._place.timeout):
                await work
        except TimeoutError:
            why = f"no answer came within {self._place.timeout:g} s{connection.complaint}"
            raise self._place.unavailable(why) from None
        except LogUnavailable:
            raise
        except Exception as error:
            raise self._place.unavailable(f"its answer is none of a server's: {error!r}") from error

    def _on_overflow(self, subject: str) -> None:
        topic = self._topics.get(subject)
        if topic is not None:
            self._listener.on_doubt((topic,))


def _is_cancelled() -> bool:
    """Say whether it was this task that was cancelled, and not a future of nats-py's that it waited for."""
    task = asyncio.current_task()
    return task is None or task.cancelling() > 0


async def _unsubscribe(subscription: Subscription) -> None:
    with contextlib.suppress(Exception):  # one that is closed already cannot be closed
        await subscription.unsubscribe()
