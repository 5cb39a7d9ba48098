"""The one connection of a process that listens."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable

from unbroken.errors import LogError, LogUnavailable
from unbroken.logs.contract import Appended, Listener
from unbroken.logs.position import new_token
from unbroken.logs.postgres.batch import Batch
from unbroken.logs.postgres.driver import Connection
from unbroken.logs.postgres.look import look
from unbroken.logs.postgres.place import Place
from unbroken.logs.postgres.session import Session
from unbroken.logs.postgres.watched import Watched

__all__ = ["Follower"]

HELLO = "hello."
"""What a notification begins with that its own sender waits for."""

FIRST_PAUSE = 0.1
LONGEST_PAUSE = 5.0
"""Seconds between two attempts to connect, give or take half."""


class Follower:
    """Looks at watched topics when it is woken, and every so often. To be used on the loop on which it was made.

    A notification says no more than where to look. Every look is a question that must be answered in time, and in quiet
    times there is one for each heartbeat: so a connection that has gone deaf is noticed, and a notification that
    was lost costs some seconds.
    """

    def __init__(self, place: Place, listener: Listener) -> None:
        self._place = place
        self._listener = listener
        self._watched = Watched(listener)
        self._loop = asyncio.get_running_loop()
        self._session = Session(place, place.notify_dsn)
        self._woken, self._heard = asyncio.Event(), asyncio.Event()
        self._hello = HELLO + new_token(8)
        self._waiting: dict[str, set[asyncio.Future[None]]] = {}
        self._troubled = False
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Connect, and begin.

        Raises:
            LogUnavailable: it cannot be reached.
        """
        try:
            await self._connect()
        except BaseException:
            self._session.terminate()
            raise
        self._task = self._loop.create_task(self._run(), name="unbroken postgres follower")

    async def stop(self) -> None:
        """Listen no more."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait((self._task,))
        for topic in tuple(self._waiting):
            self._tell_waiting(topic, LogUnavailable(f"{self._place} was closed"))

    async def watch(self, topic: str) -> None:
        """Watch a topic, and return when its end is known.

        Raises:
            LogUnavailable: that cannot be had in time.
        """
        self._watched.add(topic)
        if self._watched.is_known(topic):
            return
        future = self._loop.create_future()
        self._waiting.setdefault(topic, set()).add(future)
        self._woken.set()
        try:
            async with asyncio.timeout(self._place.timeout):
                await future
        except TimeoutError:
            self._give_up(topic, future)
            raise LogUnavailable(f"{self._place} did not answer within {self._place.timeout:g} s") from None
        except BaseException:
            self._give_up(topic, future)
            raise

    def unwatch(self, topic: str) -> None:
        """Watch it no more."""
        self._watched.discard(topic)

    def note_appended(self, batch: Batch, appended: Appended) -> None:
        """Tell of what this process has appended itself: no need to read it back."""
        if not self._watched.note_appended(batch.topic, appended.epoch, appended.entries, batch.close):
            self._woken.set()

    def note_forgotten(self, topic: str) -> None:
        """Tell that a topic was forgotten."""
        if self._watched.is_known(topic):
            self._watched.doubt((topic,))

    # The task.

    async def _run(self) -> None:
        try:
            while True:
                self._say(await self._why_ended(self._follow))
                pause = FIRST_PAUSE
                await self._rest(pause)
                while (why := await self._why_ended(self._come_back)) is not None:
                    self._say(why)
                    pause = min(2 * pause, LONGEST_PAUSE)
                    await self._rest(pause)
        finally:
            self._session.terminate()

    async def _why_ended(self, work: Callable[[], Awaitable[None]]) -> str | None:
        try:
            await work()
        except LogError as exc:
            return str(exc)
        except Exception as exc:  # noqa: BLE001 # it must go on
            return f"{self._place} cannot be followed: {exc!r}"
        return None

    async def _rest(self, pause: float) -> None:
        self._session.terminate()
        await asyncio.sleep(pause * random.uniform(0.5, 1.5))  # noqa: S311 # no secret

    async def _come_back(self) -> None:
        await self._connect()
        await self._look()
        self._say(None)
        self._watched.doubt(None)

    async def _connect(self) -> None:
        """Listen first, and look then: so nothing comes in between."""
        connection = await self._session.open(self._place.timeout)
        connection.add_termination_listener(lambda _: self._woken.set())
        if self._place.wake == "notify":
            self._heard.clear()
            await self._session.run(self._listen, self._place.timeout)
            await self._greet()
            await self._hear()
        self._watched.forget_ends()

    async def _listen(self, connection: Connection) -> None:
        await connection.add_listener(self._place.channel, self._on_notification)

    async def _greet(self) -> None:
        """Send ourselves a notification, over a connection as appends have it: notify_dsn may lead somewhere else."""
        greeter = self._session if self._place.notify_dsn is None else Session(self._place)
        channel, hello = self._place.channel, self._hello
        try:
            await greeter.run(
                lambda connection: connection.execute("SELECT pg_notify($1, $2)", channel, hello), self._place.timeout
            )
        finally:
            if greeter is not self._session:
                greeter.terminate()

    async def _hear(self) -> None:
        """Wait for our own notification: behind a pooler that shares sessions LISTEN succeeds, and none ever comes."""
        try:
            async with asyncio.timeout(self._place.heartbeat_timeout):
                await self._heard.wait()
        except TimeoutError:
            raise LogUnavailable(
                f"{self._place} sends no notifications: if there is a pooler that shares sessions before it, give "
                "notify_dsn= with a URL past it, to the same database, or wake=poll"
            ) from None

    def _on_notification(self, connection: object, pid: int, channel: str, payload: str) -> None:
        if payload.startswith(HELLO):
            if payload == self._hello:
                self._heard.set()
            return
        self._watched.note_woken(payload)
        if self._watched.to_look_at:
            self._woken.set()

    async def _follow(self) -> None:
        """Look, again and again.

        Raises:
            LogUnavailable: the connection broke, or a look was not answered in time.
        """
        place = self._place
        interval = place.heartbeat_interval if place.wake == "notify" else place.poll_interval
        due = self._loop.time() + interval
        while True:
            try:
                async with asyncio.timeout_at(due):
                    await self._woken.wait()
            except TimeoutError:
                self._watched.look_at_all()
                due = self._loop.time() + interval
            self._woken.clear()
            await self._look()

    async def _look(self) -> None:
        """Look once; a connection that broke is not opened anew, for it would not listen."""
        if self._session.current is None:
            raise LogUnavailable(f"{self._place}: the connection that listens was lost")
        since = self._watched.take()
        schema = self._place.namespace
        found = await self._session.run(
            lambda connection: look(connection, schema, since), self._place.heartbeat_timeout
        )
        self._watched.note_found(since, found)
        for topic in since:
            self._tell_waiting(topic)

    def _say(self, why: str | None) -> None:
        """Tell of trouble when it begins, and when it ends."""
        if why is not None or self._troubled:
            self._listener.on_trouble(why)
        self._troubled = why is not None

    # Those who wait for a topic.

    def _tell_waiting(self, topic: str, error: Exception | None = None) -> None:
        for future in self._waiting.pop(topic, ()):
            if not future.done() and error is None:
                future.set_result(None)
            elif not future.done() and error is not None:
                future.set_exception(error)

    def _give_up(self, topic: str, future: asyncio.Future[None]) -> None:
        others = self._waiting.get(topic)
        if others is not None:
            others.discard(future)
            if not others:
                del self._waiting[topic]
        if not others and not self._watched.is_known(topic):
            self._watched.discard(topic)
