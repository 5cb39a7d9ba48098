"""One connection to a server: from its beginning to its loss.

nats-py would reconnect by itself, and then send what had queued meanwhile: an append that was given up long ago.
So each connection is a client of its own, which is thrown away when it is lost, with all that it had not sent.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import socket
import ssl
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import unquote, urlsplit

from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.aio.subscription import Subscription
from nats.errors import Error, MaxPayloadError, SlowConsumerError

from unbroken.errors import ConfigurationError, LogUnavailable
from unbroken.logs.nats.place import Place

__all__ = ["Connection", "Lost", "Outgoing", "Refused"]

CLOSE_TIMEOUT = 1.0
"""Seconds for a farewell; a server that is frozen gets none."""

PROBE_TIMEOUT = 1.0
"""Seconds for an answer that takes the server no work."""

NEVER = 2**31

PENDING_MESSAGES = 4096
PENDING_BYTES = 32 * 1024 * 1024
"""What may wait of one topic; beyond it messages are dropped, and the topic is in doubt."""

UNLIMITED = 0


class Lost(LogUnavailable):
    """The connection is no more."""


class Refused(LogUnavailable):
    """The server has said no, or would: nothing was stored, and to ask again at once is of no use."""


@dataclass(frozen=True, slots=True)
class Outgoing:
    """A message that is to be sent."""

    subject: str
    data: bytes
    headers: dict[str, str] | None = None


@dataclass(slots=True)
class _Awaited:
    """An answer, of one message or of several up to an empty one with a status."""

    future: asyncio.Future[list[Msg]]
    several: bool
    messages: list[Msg] = field(default_factory=list)

    def take(self, message: Msg) -> None:
        self.messages.append(message)
        if not self.several or status_of(message) is not None:
            self.end()

    def end(self, error: Exception | None = None) -> None:
        if self.future.done():
            return
        if error is None:
            self.future.set_result(self.messages)
        else:
            self.future.set_exception(error)

    def drop(self) -> None:
        """Take note of an error: it was lost while it was being asked for, and nobody waits for the answer."""
        if self.future.done() and not self.future.cancelled():
            self.future.exception()


class Connection:
    """A client of nats-py that is connected once. To be used on the loop on which it was opened."""

    def __init__(self, place: Place, on_overflow: Callable[[str], None]) -> None:
        self._place = place
        self._on_overflow = on_overflow
        self._client = Client()
        self._awaited: dict[str, _Awaited] = {}
        self._tokens = itertools.count()
        self._inbox = ""
        self._error: Exception | None = None
        self._flushing: set[asyncio.Task[None]] = set()
        self._closing: asyncio.Task[None] | None = None
        self.lost: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        """Resolved with the reason when the connection is no more."""

    @property
    def version(self) -> tuple[int, ...]:
        """The server's version, as far as it is made of numbers."""
        try:
            version = self._client.connected_server_version
            return version.major, version.minor, version.patch
        except (AttributeError, ValueError):
            return 0, 0, 0  # it says none, or one that is none

    @property
    def complaint(self) -> str:
        """What the server said last, such as that a right is missing: who asked for something then gets no answer."""
        return "" if self._error is None else f"; the server said: {_explained(self._error)}"

    @property
    def max_payload(self) -> int:
        """The most bytes that the server takes in one message."""
        return self._client.max_payload

    @property
    def _received(self) -> int:
        """Bytes that have come: of whole messages, and of the one that is under way, as far as nats-py lets us see."""
        parser = getattr(self._client, "_ps", None)
        return self._client.stats["in_bytes"] + len(getattr(parser, "buf", b""))

    async def open(self, server: str) -> None:
        """Connect to one server.

        Raises:
            LogUnavailable: it cannot be reached, or lets us not in.
        """
        try:
            async with asyncio.timeout(self._place.timeout):
                await self._client.connect([server], **self._options(server))
                self._client.options["allow_reconnect"] = True  # so that a loss is told at once: `_on_disconnected`
                self._inbox = self._client.new_inbox()
                await self._client.subscribe(
                    f"{self._inbox}.*", cb=self._answer, pending_msgs_limit=UNLIMITED, pending_bytes_limit=UNLIMITED
                )
            self._keep_alive()
        except Exception as error:  # whatever nats-py makes of a peer that is no server
            await self.close("it could not be opened")
            raise self._place.unavailable(_unopened(self._error or error)) from error
        except BaseException:
            await self.close("it could not be opened")
            raise

    async def request(self, message: Outgoing, patience: float | None = None) -> Msg:
        """Send a message and return its answer.

        Raises:
            LogUnavailable: the connection was lost before the answer came.
            TimeoutError: for `patience` seconds nothing has come at all. A deadline is the caller's own.
        """
        return (await self._request([message], several=False, patience=patience))[0]

    async def request_batch(self, messages: list[Outgoing]) -> Msg:
        """Send messages, nothing of ours between them, and return the answer to the last. As `request`."""
        return (await self._request(messages, several=False))[0]

    async def request_several(self, message: Outgoing, patience: float | None = None) -> list[Msg]:
        """Send a message and return its answers: the last has a status. As `request`."""
        return await self._request([message], several=True, patience=patience)

    async def subscribe(self, subject: str, on_message: Callable[[Msg], None]) -> Subscription:
        """Have messages told. The server knows of it before it does what it is asked next.

        Raises:
            LogUnavailable: the connection is lost.
        """

        async def tell(message: Msg) -> None:
            on_message(message)

        self._check()
        try:
            return await self._client.subscribe(
                subject, cb=tell, pending_msgs_limit=PENDING_MESSAGES, pending_bytes_limit=PENDING_BYTES
            )
        except Error as error:
            raise Lost(str(self._place.unavailable(_explained(error)))) from error

    async def probe(self) -> None:
        """See whether the server answers at all, whatever JetStream does; the connection is lost if not."""
        timeout = min(PROBE_TIMEOUT, self._place.heartbeat_timeout)
        reading = getattr(self._client, "_reading_task", None)
        if reading is not None and reading.done():  # then nats-py would wait for no answer, and say that there was one
            self.lose("nats-py does not read any more")
            return
        # With no deadline of nats-py's: it ends its reading when an answer comes after that, or after a cancellation.
        flushing = asyncio.get_running_loop().create_task(self._client.flush(NEVER), name="unbroken NATS flush")
        self._flushing.add(flushing)
        flushing.add_done_callback(self._flushing.discard)
        flushing.add_done_callback(_look)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._place.timeout):
                await self._comes(flushing, timeout)
        if not flushing.done() or flushing.cancelled() or flushing.exception() is not None:
            self.lose(f"the server has not answered within {timeout:g} s")

    def lose(self, why: str) -> None:
        """Take note that the connection is of no use any more; all that wait for answers are told."""
        if not self.lost.done():
            self.lost.set_result(why)
        while self._awaited:
            self._awaited.popitem()[1].end(Lost(str(self._place.unavailable(why))))

    async def close(self, why: str) -> None:
        """Close it, whatever state it is in."""
        self.lose(why)
        if self._closing is None:
            self._closing = self._close()
        try:
            await asyncio.wait((self._closing,), timeout=CLOSE_TIMEOUT)
            self._closing.cancel()
        finally:
            for task in tuple(self._flushing):
                task.cancel()
            self.abort(why)  # or what a frozen peer does not take would keep the socket open for good

    def _close(self) -> asyncio.Task[None]:
        # nats-py would send what is pending as a farewell: appends that were given up. On a dead connection that fails,
        # too, and its tasks would be left behind.
        self._client._pending_data_size = 0
        # In a task of its own: it awaits futures that it has cancelled, and would so seem to be cancelled itself.
        task = asyncio.get_running_loop().create_task(self._client.close(), name="unbroken NATS farewell")
        task.add_done_callback(_look)
        return task

    def abort(self, why: str) -> None:
        """End it at once, without a farewell."""
        self.lose(why)
        if (writer := self._writer()) is not None:
            writer.transport.abort()

    async def _request(self, messages: list[Outgoing], several: bool, patience: float | None = None) -> list[Msg]:
        self._check()
        token = str(next(self._tokens))
        awaited = _Awaited(asyncio.get_running_loop().create_future(), several)
        self._awaited[token] = awaited
        try:
            for message in messages[:-1]:
                await self._send(message, "")
            await self._send(messages[-1], f"{self._inbox}.{token}")
            if patience is not None and not await self._comes(awaited.future, patience):
                raise TimeoutError
            return await awaited.future
        finally:
            self._awaited.pop(token, None)
            awaited.drop()

    async def _comes(self, future: asyncio.Future[Any], patience: float) -> bool:
        """Wait for an answer, and no longer than `patience` while nothing comes: on a slow way it may be under way."""
        received = -1
        while not future.done() and received != self._received:
            received = self._received
            await asyncio.wait((future,), timeout=patience)
        return future.done()

    async def _send(self, message: Outgoing, reply: str) -> None:
        # It does not suspend: with `pending_size` below 0 the client only queues. So the messages of a batch follow
        # each other, and no cancellation comes in between, which nats-py 2.16 would swallow there.
        try:
            await self._client.publish(message.subject, message.data, reply=reply, headers=message.headers)
        except MaxPayloadError as error:
            most = f"the server takes {self.max_payload} bytes in one message, and this one has {len(message.data)}"
            raise Refused(
                str(self._place.unavailable(f"{most}: raise max_payload, or publish less at once"))
            ) from error
        except Error as error:
            if not self._client.is_connected:
                self.lose("the connection was lost")  # nats-py has noticed, and tells a turn later
            self._check()
            raise self._place.unavailable(_explained(error)) from error

    def _check(self) -> None:
        if self.lost.done():
            raise Lost(str(self._place.unavailable(self.lost.result())))

    async def _answer(self, message: Msg) -> None:
        awaited = self._awaited.get(message.subject.rpartition(".")[2])
        if awaited is not None:
            awaited.take(message)

    async def _on_error(self, error: Exception) -> None:
        self._error = error
        if isinstance(error, SlowConsumerError):
            self._on_overflow(error.subject)

    async def _on_disconnected(self) -> None:
        self.lose(_explained(self._error) if self._error else "the connection was lost")
        if self._client.is_reconnecting:
            # nats-py calls this before it reconnects, and waits: until `close` ends it there.
            await asyncio.get_running_loop().create_future()

    def _options(self, server: str) -> Mapping[str, Any]:
        options: dict[str, Any] = {
            "name": "unbroken",
            "error_cb": self._on_error,
            "disconnected_cb": self._on_disconnected,
            "connect_timeout": self._place.timeout,
            "allow_reconnect": False,  # or it would try again what can never be, such as a wrong password
            "max_reconnect_attempts": 1,
            "reconnect_time_wait": 0.01,
            "pending_size": -1,  # while it is away nothing is queued
            "dont_randomize": True,
            **_login(server),
        }
        if self._place.creds is not None:
            options["user_credentials"] = self._place.creds
        if self._place.is_encrypted:
            options["tls"] = ssl.create_default_context(cafile=self._place.ca)
        return options

    def _keep_alive(self) -> None:
        """Have the system notice a dead peer, too: our heartbeat does not run while the loop is busy."""
        writer = self._writer()
        found = None if writer is None else writer.get_extra_info("socket")
        if found is not None:
            found.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)

    def _writer(self) -> asyncio.StreamWriter | None:
        """Return nats-py's own writer; it offers no way to abort a connection, nor to its socket."""
        return getattr(getattr(self._client, "_transport", None), "_io_writer", None)


def _look(task: asyncio.Task[None]) -> None:
    """Take note of an error that nobody waits for."""
    if not task.cancelled():
        task.exception()


def _login(server: str) -> dict[str, str]:
    """Return what the URL says of who we are; nats-py would take it as it is written there."""
    parts = urlsplit(server)
    user = unquote(parts.username or "")
    if parts.password is not None:
        return {"user": user, "password": unquote(parts.password)}
    return {"token": user} if user else {}


def status_of(message: Msg) -> str | None:
    """Return the status of an answer that is no message of a stream."""
    return None if message.headers is None else message.headers.get("Status")


def _explained(error: Exception) -> str:
    if isinstance(error, TimeoutError):
        return "no answer came in time"
    text = str(error).removeprefix("nats: ") or type(error).__name__
    return text.rstrip(".")


def _unopened(error: Exception) -> str:
    text = _explained(error)
    if isinstance(error, ConnectionResetError):  # what the server said before it may be lost with the connection
        text += "; a server that does not let us in hangs up like that, too: look at user and password"
    return text


def check_creds(place: Place) -> None:
    """Say what credentials need, before nats-py fails on it.

    Raises:
        ConfigurationError: the library that signs with them is absent.
    """
    if place.creds is None:
        return
    try:
        import nkeys  # type: ignore[import-not-found,import-untyped,unused-ignore] # noqa: F401
    except ImportError:
        raise ConfigurationError(f"creds={place.creds!r} needs a library that signs: pip install nkeys") from None
