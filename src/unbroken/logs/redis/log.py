"""The log in Redis or Valkey."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from unbroken.errors import LogUnavailable
from unbroken.logs.batch import TAG_BYTES, check_batch, check_name, check_state, new_epoch
from unbroken.logs.contract import Appended, Draft, Guarantees, Head, Listener, Page, Retention
from unbroken.logs.position import new_token
from unbroken.logs.redis.engine import UNKNOWN, guarantees_of
from unbroken.logs.redis.failures import Lost, unavailable
from unbroken.logs.redis.framing import appended_of, duplicate_of, page_of
from unbroken.logs.redis.hearing import Hearing
from unbroken.logs.redis.keys import BUCKETS, Keys
from unbroken.logs.redis.nodes import Call, Nodes
from unbroken.logs.redis.place import place_of, split_settings
from unbroken.logs.redis.scripts import APPEND, MAKE, READ, TRIM, fence_text
from unbroken.logs.redis.topology import Topology, topology_of

__all__ = ["RedisLog", "from_url"]

PAGE_BYTES = 1024 * 1024
"""Payload after which a page ends."""

LAST = 2**63 - 1
"""Above every `seq`, and within what the engine takes."""

TRIM_ENTRIES = 500
TRIM_BYTES = 4 * 1024 * 1024
"""What one step of a trim looks at: nobody else is served meanwhile."""


def from_url(url: str) -> RedisLog:
    """Return the log that `url` names, not yet opened; its settings are in the query.

    Raises:
        ConfigurationError: the URL or a setting is of no use.
    """
    return RedisLog(url)


@dataclass(frozen=True, slots=True)
class _Open:
    """What there is between `start` and `stop`."""

    process: int
    loop: asyncio.AbstractEventLoop
    listener: Listener
    topology: Topology
    nodes: Nodes
    hearing: Hearing

    @property
    def is_here(self) -> bool:
        """Whether it can be used: in a fork the connections are the parent's, and with a loop that ended they did."""
        return self.process == os.getpid() and self.loop is asyncio.get_running_loop()

    async def close(self) -> None:
        await self.hearing.stop()
        await self.nodes.stop()
        await self.topology.stop()


class RedisLog:
    """Topics in Redis or Valkey, for all processes that open the same URL.

    `redis://` and `valkey://` name one server, `rediss://` and `valkeys://` one with TLS,
    `redis+sentinel://host:26379,host:26379/mymaster/0` the master that Sentinels know, and
    `redis+cluster://host:6379,host:6379` a cluster.

    Each process has three connections to the server, or to each node of a cluster: for what writes, for what reads, and
    for what is published. To be opened in each process after it was forked.

    Args:
        url: Where the engine is. The settings below may stand in its query, and hold there.
        prefix: What all keys begin with. Another prefix is another log.
        timeout: Seconds after which a call gives up.
        heartbeat_interval: Seconds between two heartbeats on each connection.
        heartbeat_timeout: Seconds within which a heartbeat on the subscribed connection has to be answered.
        replicas: So many replicas must confirm an append, else it raises `LogUnavailable`, and may have been made.
        sentinel_username: For the Sentinels. The URL's user and password are the server's.
        sentinel_password: For the Sentinels.

    Raises:
        ConfigurationError: the URL or a setting is of no use.
        MissingExtraError: redis-py is not installed.
    """

    def __init__(
        self,
        url: str,
        *,
        prefix: str = "unbroken",
        timeout: float = 5.0,
        heartbeat_interval: float = 10.0,
        heartbeat_timeout: float = 5.0,
        replicas: int = 0,
        sentinel_username: str = "",
        sentinel_password: str = "",
    ) -> None:
        bare, found = split_settings(url)
        settings: dict[str, Any] = {
            "prefix": prefix,
            "timeout": timeout,
            "heartbeat_interval": heartbeat_interval,
            "heartbeat_timeout": heartbeat_timeout,
            "replicas": replicas,
            "sentinel_username": sentinel_username,
            "sentinel_password": sentinel_password,
        }
        self._place = place_of(bare, settings | found)
        self._keys = Keys(self._place.prefix, self._place.db)
        self._publish = "SPUBLISH" if self._place.kind == "cluster" else "PUBLISH"
        self._starting: object | None = None
        self._opened: _Open | None = None
        self._closing: asyncio.Task[None] | None = None
        self.guarantees: Guarantees = UNKNOWN
        """What is known before the start; afterwards what the engine says of its own settings."""

    async def start(self, listener: Listener) -> None:
        """Connect, and look how the engine is set up. After `stop` it may be started again, on another loop too."""
        if self._opened is not None and self._opened.is_here:
            raise LogUnavailable(
                f"the log in Redis at {self._place} is open: it is started once, or again after a stop"
            )
        starting = self._starting = object()
        topology = topology_of(self._place)
        nodes = Nodes(self._place, topology)
        try:
            async with self._deadline():
                self.guarantees = await guarantees_of(nodes, self._place)
            if self._starting is not starting:
                raise unavailable(str(self._place), "it was stopped, or started again, before it was open")
        except BaseException:
            await nodes.stop()
            await topology.stop()
            raise
        hearing = Hearing(self._place, topology, self._keys, listener)
        nodes.demoted = hearing.leave
        self._opened = _Open(os.getpid(), asyncio.get_running_loop(), listener, topology, nodes, hearing)

    async def stop(self) -> None:
        """Let what was begun come to its end, for up to `timeout` seconds, and close every connection."""
        opened, self._opened, self._starting = self._opened, None, None
        if opened is not None and opened.is_here:
            # Its own task: who stops it may have less patience than its deadline, and it is closed all the same.
            self._closing = opened.loop.create_task(opened.close(), name="unbroken redis stop")
            await asyncio.shield(self._closing)

    async def append(
        self,
        topic: str,
        drafts: Sequence[Draft],
        *,
        key: str | None = None,
        fence: int | None = None,
        close: bool = False,
    ) -> Appended:
        """Append a batch. See `Log.append`.

        Without a key it is sent to the engine once, and raises `LogUnavailable` when the answer is lost. With a
        key it is sent again.
        """
        check_batch(topic, drafts, key, fence, close)
        keys, candidate, tags = self._keys.of(topic), new_epoch(), [new_token(TAG_BYTES) for _ in drafts]
        pairs = [part for tag, draft in zip(tags, drafts, strict=True) for part in (tag, draft.payload)]
        arguments = (
            *(candidate, keys.name, "" if key is None else b"=" + key.encode(), fence_text(fence)),
            *(int(close), self._publish, keys.channel, *pairs),
        )
        command = APPEND.by_name(keys.all, *arguments)
        repeatable, replicas = key is not None, self._place.replicas
        call = Call(keys.bucket, command, APPEND, writes=True, repeatable=repeatable, replicas=replicas)
        reply = await self._run(call, "it may have been appended")
        if isinstance(reply, list):
            return duplicate_of(reply, candidate)
        return _appended(topic, reply, tags, drafts, fence)

    async def read(self, topic: str, after: int, limit: int) -> Page:
        """Return a page; one that is near a megabyte ends."""
        check_name("topic", topic)
        keys = self._keys.of(topic)
        call = Call(keys.bucket, READ.by_name(keys.all[:2], min(max(after, 0), LAST), max(limit, 0), PAGE_BYTES), READ)
        while (reply := await self._run(call)) is None:
            command = MAKE.by_name(keys.all, new_epoch(), keys.name)
            await self._run(Call(keys.bucket, command, MAKE, writes=True))
        return page_of(reply)

    async def head(self, topic: str) -> Head:
        """Return the end of the topic."""
        return (await self.read(topic, 0, 0)).head

    async def trim(self, topic: str, retention: Retention) -> int:
        """Drop what is over the bounds, in small steps between which the engine serves others."""
        check_name("topic", topic)
        keys = self._keys.of(topic)
        bounds = (retention.max_events or "", _microseconds(retention.max_age), retention.max_bytes or "")
        times = (_microseconds(retention.key_age), _microseconds(retention.forget_after))
        rest = (TRIM_ENTRIES, TRIM_BYTES, keys.name, self._publish, keys.channel)
        call = Call(keys.bucket, TRIM.by_name(keys.all, *bounds, *times, *rest), TRIM, writes=True, repeatable=False)
        gone, more = 0, 1
        while more:
            count, more, forgotten = await self._run(call)
            gone += count
            if forgotten and self._open().hearing.is_watched(topic):
                self._open().listener.on_doubt((topic,))
        return gone

    async def topics(self) -> Sequence[str]:
        """Return the names of all topics."""
        self._open()
        calls = (Call(bucket, ("SMEMBERS", self._keys.index(bucket))) for bucket in range(BUCKETS))
        found = await asyncio.gather(*map(self._run, calls))
        return [name.decode() for names in found for name in names]

    async def watch(self, topic: str) -> None:
        """Tell the listener of this topic from now on."""
        check_name("topic", topic)
        await self._open().hearing.watch(topic)

    async def unwatch(self, topic: str) -> None:
        """Tell the listener no more of this topic."""
        if self._opened is not None:
            self._opened.hearing.unwatch(topic)

    async def _run(self, call: Call, doing: str = "") -> Any:
        nodes = self._open().nodes
        async with self._deadline(doing):
            return await nodes.run(call)

    @asynccontextmanager
    async def _deadline(self, doing: str = "") -> AsyncIterator[None]:
        """Give up in time, and say what went wrong."""
        where, timeout = str(self._place), self._place.timeout
        try:
            async with asyncio.timeout(timeout):
                yield
        except TimeoutError:
            raise unavailable(where, f"it did not answer within {timeout:g} s", doing) from None
        except Lost as error:
            raise unavailable(where, str(error), doing if error.sent else doing and "nothing was appended") from error

    def _open(self) -> _Open:
        if self._opened is None:
            raise LogUnavailable(
                f"the log in Redis at {self._place} is not open: it was not started yet, or was stopped"
            )
        if self._opened.process != os.getpid():
            parent = f"it was opened by process {self._opened.process}, of which this one is a fork"
            raise LogUnavailable(f"the log in Redis at {self._place} cannot be used here: {parent}; open one in each")
        if self._opened.loop is not asyncio.get_running_loop():
            raise LogUnavailable(
                f"the log in Redis at {self._place} was started on another event loop: start it on this"
            )
        return self._opened


def _appended(topic: str, reply: Any, tags: Sequence[str], drafts: Sequence[Draft], fence: int | None) -> Appended:
    if reply == b"closed":
        check_state(topic, closed=True, highest=None, fence=fence)
    if reply.startswith(b"fenced:"):
        check_state(topic, closed=False, highest=int(reply[7:]) - 2**63, fence=fence)
    return appended_of(reply, tags, drafts)


def _microseconds(seconds: float | None) -> str:
    return "" if seconds is None else f"{seconds * 1e6:.0f}"
