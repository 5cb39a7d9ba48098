"""Where the topics are now: each bucket's node."""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable, Iterable
from typing import Any

from redis.asyncio.connection import Connection
from redis.crc import key_slot
from redis.exceptions import RedisError

from unbroken.logs.redis.failures import Lost, meaning_of
from unbroken.logs.redis.keys import BUCKETS
from unbroken.logs.redis.pipe import ask, close_connection, open_connection
from unbroken.logs.redis.place import Address, Place

__all__ = ["Nodes", "Topology", "topology_of"]

Nodes = tuple[Address, ...]
"""By bucket."""

SLOTS = tuple(key_slot(str(bucket).encode()) for bucket in range(BUCKETS))


def topology_of(place: Place) -> Topology:
    """Return how the nodes of this place are found."""
    kinds: dict[str, Callable[[Place], Topology]] = {"single": _Single, "sentinel": _Sentinels, "cluster": _Cluster}
    return kinds[place.kind](place)


class Topology(ABC):
    """Knows where each bucket is, until it is told to doubt it."""

    moves = True
    """Another node may take over, without a word to us."""

    def __init__(self, place: Place) -> None:
        self.place = place
        self._nodes: Nodes = ()
        self._looking: asyncio.Task[Nodes] | None = None
        self._stopped = False

    def doubt(self) -> None:
        """Look anew before the next answer."""
        self._nodes = ()

    def known(self) -> set[Address]:
        """Return the nodes that have something; none if that is in doubt."""
        return set(self._nodes)

    async def locate(self, bucket: int) -> Address:
        """Return the node that has this bucket.

        Raises:
            Lost: nobody could be asked.
        """
        return (await self.nodes())[bucket]

    async def nodes(self) -> Nodes:
        """Return the nodes by bucket; one look is made for all who ask meanwhile.

        Raises:
            Lost: nobody could be asked.
        """
        if self._nodes:
            return self._nodes
        if self._stopped:
            raise Lost("the log was stopped", sent=False)
        if self._looking is None:
            task = asyncio.get_running_loop().create_task(self._found(), name="unbroken redis topology")
            task.add_done_callback(_retrieve)
            self._looking = task
        return await asyncio.shield(self._looking)

    async def stop(self) -> None:
        """Ask nobody any more."""
        self._stopped, self._nodes = True, ()
        if self._looking is not None:
            self._looking.cancel()
            await asyncio.wait((self._looking,))

    @abstractmethod
    async def _look(self) -> Nodes: ...

    async def _found(self) -> Nodes:
        await asyncio.sleep(0)  # also with eager tasks it comes to its end after it was kept
        try:
            self._nodes = await self._look()
            return self._nodes
        finally:
            self._looking = None


class _Single(Topology):
    moves = False

    async def _look(self) -> Nodes:
        return self.place.addresses[:1] * BUCKETS


class _Asking(Topology):
    """Asks one of several, each time another: one that was cut off from the rest is not believed for ever."""

    def __init__(self, place: Place) -> None:
        super().__init__(place)
        self._known = deque(place.addresses)

    async def _look(self) -> Nodes:
        failures = list[str]()
        for address in tuple(self._known):
            self._known.rotate(-1)
            try:
                return await self._asked(address)
            except (Lost, RedisError, OSError) as error:
                failures.append(f"{address[0]}:{address[1]}: {meaning_of(error)}")
        raise Lost("; ".join(failures), sent=False)

    async def _asked(self, address: Address) -> Nodes:
        timeout = max(0.2, self.place.timeout / (len(self._known) + 1))
        connection = self._connection(address)
        await open_connection(connection, timeout)
        try:
            async with asyncio.timeout(timeout):
                return await self._answer(connection, address)
        except TimeoutError:
            raise Lost(f"it did not answer within {timeout:g} s", sent=False) from None
        finally:
            await close_connection(connection)

    @abstractmethod
    def _connection(self, address: Address) -> Connection: ...

    @abstractmethod
    async def _answer(self, connection: Connection, address: Address) -> Nodes: ...


class _Sentinels(_Asking):
    def _connection(self, address: Address) -> Connection:
        return self.place.sentinel(address)

    async def _answer(self, connection: Connection, address: Address) -> Nodes:
        reply = await ask(connection, "SENTINEL", "GET-MASTER-ADDR-BY-NAME", self.place.master)
        if not reply:
            raise Lost(f"it knows no master {self.place.master!r}", sent=False)
        return ((_text(reply[0]), int(reply[1])),) * BUCKETS


class _Cluster(_Asking):
    def _connection(self, address: Address) -> Connection:
        return self.place.connection(address)

    async def _answer(self, connection: Connection, address: Address) -> Nodes:
        reply = await ask(connection, "CLUSTER", "SLOTS")
        owners = {slot: _node(row[2], address) for row in reply for slot in range(row[0], row[1] + 1)}
        if missing := [bucket for bucket, slot in enumerate(SLOTS) if slot not in owners]:
            raise Lost(f"its cluster has no node for {len(missing)} of {BUCKETS} buckets", sent=False)
        self._learn(owners.values())
        return tuple(owners[slot] for slot in SLOTS)

    def _learn(self, found: Iterable[Address]) -> None:
        """Remember whom else to ask, beside those of the URL."""
        self._known = deque(dict.fromkeys((*self._known, *found)))
        for old in set(self._known) - set(found) - set(self.place.addresses):
            self._known.remove(old)


def _node(row: Any, asked: Address) -> Address:
    """Read a node; one that does not know its own name has that by which it was asked."""
    host = _text(row[0]) if row[0] else ""
    return (host if host not in ("", "?") else asked[0]), int(row[1])


def _text(value: bytes | str) -> str:
    return value.decode() if isinstance(value, bytes) else value


def _retrieve(task: asyncio.Task[Nodes]) -> None:
    """Take note of an error: those who waited may all have left."""
    if not task.cancelled():
        task.exception()
