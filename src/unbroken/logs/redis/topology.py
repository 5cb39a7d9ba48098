"""Where the topics are now: each bucket's node."""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections import Counter, deque
from collections.abc import Callable, Iterable
from typing import Any

from redis.asyncio.connection import Connection
from redis.crc import key_slot
from redis.exceptions import RedisError

from unbroken.logs.redis.failures import Lost, meaning_of
from unbroken.logs.redis.keys import BUCKETS
from unbroken.logs.redis.pipe import Arg, ask, close_connection, open_connection, retrieve
from unbroken.logs.redis.place import Address, Place

__all__ = ["Owners", "Topology", "topology_of"]

Owners = tuple[Address | None, ...]
"""By bucket; None where a cluster has no node for it."""

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
        self._owners: Owners = ()
        self._looking: asyncio.Task[Owners] | None = None
        self._stopped = False

    def doubt(self) -> None:
        """Look anew before the next answer."""
        self._owners = ()

    def renew(self) -> asyncio.Future[Owners]:
        """Look anew. What is known holds until that has found something, and if nobody can be asked."""
        if self._looking is None:
            task = asyncio.get_running_loop().create_task(self._found(), name="unbroken redis topology")
            task.add_done_callback(retrieve)
            self._looking = task
        return self._looking

    def known(self) -> set[Address]:
        """Return the nodes that have something; none if that is in doubt."""
        return {address for address in self._owners if address is not None}

    async def locate(self, bucket: int) -> Address:
        """Return the node that has this bucket.

        Raises:
            Lost: nobody could be asked, or there is none.
        """
        address = (await self.owners())[bucket]
        if address is None:
            raise Lost("its cluster has no node for this slot: one is gone, and nothing has its place", sent=False)
        return address

    async def owners(self) -> Owners:
        """Return the nodes by bucket; one look is made for all who ask meanwhile.

        Raises:
            Lost: nobody could be asked.
        """
        if self._owners:
            return self._owners
        if self._stopped:
            raise Lost("the log was stopped", sent=False)
        return await asyncio.shield(self.renew())

    async def stop(self) -> None:
        """Ask nobody any more."""
        self._stopped, self._owners = True, ()
        if self._looking is not None:
            self._looking.cancel()
            await asyncio.wait((self._looking,))

    @abstractmethod
    async def _look(self) -> Owners: ...

    async def _found(self) -> Owners:
        await asyncio.sleep(0)  # also with eager tasks it comes to its end after it was kept
        try:
            self._owners = await self._look()
            return self._owners
        finally:
            self._looking = None


class _Single(Topology):
    moves = False

    async def _look(self) -> Owners:
        return self.place.addresses[:1] * BUCKETS


class _Sentinels(Topology):
    """Asks all: one that was cut off from the rest may name a primary of old."""

    async def _look(self) -> Owners:
        create = asyncio.get_running_loop().create_task
        tasks = [create(self._asked(address)) for address in self.place.addresses]
        for task in tasks:
            task.add_done_callback(retrieve)
        try:
            return (await self._elected(tasks),) * BUCKETS
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks)

    async def _elected(self, tasks: list[asyncio.Task[Address]]) -> Address:
        """Return whom most of those who answer name; it is waited for all of them only where less than half agree."""
        pending, votes = set(tasks), Counter[Address]()
        while pending and 2 * max(votes.values(), default=0) <= len(tasks):
            _, pending = await asyncio.wait(pending, return_when=asyncio.FIRST_COMPLETED)
            votes = Counter(task.result() for task in tasks if task.done() and task.exception() is None)
        if not votes:
            raise Lost("; ".join(str(task.exception()) for task in tasks), sent=False)
        return votes.most_common(1)[0][0]  # where as many name another, it is the one whom the URL's first names

    async def _asked(self, address: Address) -> Address:
        timeout, name = self.place.timeout / 2, ("SENTINEL", "GET-MASTER-ADDR-BY-NAME", self.place.master)
        reply = await _answer(self.place.sentinel(address), address, timeout, *name)
        if not reply:
            raise Lost(f"{address[0]}:{address[1]}: it knows no master {self.place.master!r}", sent=False)
        return _text(reply[0]), int(reply[1])


class _Cluster(Topology):
    """Asks one of several, each time another: one that was cut off from the rest is not believed for ever."""

    def __init__(self, place: Place) -> None:
        super().__init__(place)
        self._known = deque(place.addresses)
        self._silent = set[Address]()
        """Who did not answer the last time; they are asked when nobody else is left."""

    async def _look(self) -> Owners:
        failures = list[str]()
        for address in sorted(self._known, key=self._silent.__contains__):
            self._known.remove(address)
            self._known.append(address)
            try:
                return await self._asked(address)
            except Lost as error:
                self._silent.add(address)
                failures.append(str(error))
        raise Lost("; ".join(failures), sent=False)

    async def _asked(self, address: Address) -> Owners:
        timeout = max(0.2, self.place.timeout / (len(self._known) + 1))
        reply = await _answer(self.place.connection(address), address, timeout, "CLUSTER", "SLOTS")
        owners = {slot: _node(row[2], address) for row in reply for slot in range(row[0], row[1] + 1)}
        if not owners:
            raise Lost(f"{address[0]}:{address[1]}: it knows of no node that has a slot", sent=False)
        self._silent.discard(address)
        self._learn(owners.values())
        return tuple(map(owners.get, SLOTS))

    def _learn(self, found: Iterable[Address]) -> None:
        """Remember whom else to ask, beside those of the URL."""
        self._known = deque(dict.fromkeys((*self._known, *found)))
        for old in set(self._known) - set(found) - set(self.place.addresses):
            self._known.remove(old)
        self._silent &= set(self._known)


async def _answer(connection: Connection, address: Address, timeout: float, *command: Arg) -> Any:
    """Return what this one, who is asked nothing else, answers in time; else raise `Lost`, which names it."""
    try:
        await open_connection(connection, timeout)
        async with asyncio.timeout(timeout):
            return await ask(connection, *command)
    except TimeoutError:
        why = f"it did not answer within {timeout:g} s"
    except (Lost, RedisError, OSError) as error:
        why = meaning_of(error)
    finally:
        close_connection(connection)
    raise Lost(f"{address[0]}:{address[1]}: {why}", sent=False)


def _node(row: Any, asked: Address) -> Address:
    """Read a node; one that does not know its own name has that by which it was asked."""
    host = _text(row[0]) if row[0] else ""
    return (host if host not in ("", "?") else asked[0]), int(row[1])


def _text(value: bytes | str) -> str:
    return value.decode() if isinstance(value, bytes) else value
