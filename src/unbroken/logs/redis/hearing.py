"""What is published, by whichever process: one subscribed connection to each node that has a watched topic."""

from __future__ import annotations

import asyncio
import random
from collections import Counter, defaultdict
from collections.abc import Mapping

from redis.asyncio.connection import Connection

from unbroken.errors import LogUnavailable
from unbroken.logs.contract import Listener
from unbroken.logs.redis.failures import Lost, unavailable
from unbroken.logs.redis.framing import publication_of
from unbroken.logs.redis.keys import Keys, TopicKeys
from unbroken.logs.redis.pipe import open_connection
from unbroken.logs.redis.place import Address, Place
from unbroken.logs.redis.topology import Owners, Topology
from unbroken.logs.redis.voice import Voice

__all__ = ["Hearing"]

FIRST_DELAY = 0.1
LONGEST_DELAY = 5.0
"""Seconds between two attempts to connect: doubled each time, and jittered, so that not all processes come at once."""


class Hearing:
    """Keeps the subscriptions up, and tells the listener. One task does all of it."""

    def __init__(self, place: Place, topology: Topology, keys: Keys, listener: Listener) -> None:
        self._place = place
        self._topology = topology
        self._keys = keys
        self._listener = listener
        self._wanted: dict[str, TopicKeys] = {}
        self._topics: dict[bytes, str] = {}
        """By channel."""
        self._missing: dict[str, asyncio.Future[None]] = {}
        """Wanted topics of which nothing is heard yet, and who waits for that."""
        self._changed: dict[bytes, int] = {}
        """Channels, and their buckets, that were watched or unwatched since they were last asked for."""
        self._waiters = Counter[str]()
        """How many wait for each topic."""
        self._owners: Owners = ()
        self._scattered = True
        """Who tells of which topic has to be settled anew, for all of them."""
        self._heard: set[str] = set()
        """Wanted topics of which something was heard before: when they are heard anew, what was missed is a doubt."""
        self._doubted: set[str] = set()
        """Topics of which that is to be told at the end of this turn."""
        self._needed: set[Address] = set()
        """Nodes that have something to tell."""
        self._voices: dict[Address, Voice] = {}
        self._opening: dict[Address, asyncio.Task[None]] = {}
        self._delays: dict[Address | None, tuple[float, float]] = {}
        """When to try again, and after how long, for each node that failed; None: to find the nodes."""
        self._settling = False
        self._trouble: str | None = None
        self._loop = asyncio.get_running_loop()
        self._next_look = self._loop.time() + place.heartbeat_interval
        self._wake = asyncio.Event()
        self._wake.set()
        self._task = self._loop.create_task(self._run(), name="unbroken redis hearing")

    async def watch(self, topic: str) -> None:
        """Hear of a topic, from before this returns.

        Raises:
            LogUnavailable: the subscription was not confirmed in time.
        """
        if topic not in self._wanted:
            keys = self._keys.of(topic)
            self._wanted[topic], self._topics[keys.channel] = keys, topic
            self._changed[keys.channel] = keys.bucket
            self._wake.set()
            # Unwatched a moment ago, and not given up yet: then it stays, and nothing more is confirmed.
            if self._hears(keys):
                self._heard.add(topic)
            else:
                self._missing[topic] = self._loop.create_future()
        if topic not in self._missing:
            return
        self._waiters[topic] += 1
        try:
            async with asyncio.timeout(self._place.timeout):
                await asyncio.shield(self._missing[topic])
        except TimeoutError:
            # Neither who has heard of it before, nor who waits for it still, has given it up.
            if topic not in self._heard and self._waiters[topic] == 1:
                self.unwatch(topic)
            if self._trouble is not None:
                raise LogUnavailable(self._trouble) from None
            why = f"the subscription was not confirmed within {self._place.timeout:g} s"
            raise unavailable(str(self._place), why) from None
        finally:
            self._waiters[topic] -= 1
            if not self._waiters[topic]:
                del self._waiters[topic]

    def unwatch(self, topic: str) -> None:
        """Hear no more of a topic."""
        keys = self._wanted.pop(topic, None)
        if keys is None:
            return
        del self._topics[keys.channel]
        self._heard.discard(topic)
        self._changed[keys.channel] = keys.bucket
        self._give_up(self._missing.pop(topic, None), f"topic {topic!r} is not watched any more")
        self._wake.set()

    def is_watched(self, topic: str) -> bool:
        """Whether the listener is to be told of it."""
        return topic in self._wanted

    def leave(self, address: Address) -> None:
        """Hear no more from a node that is no primary any more, but from the one that is."""
        voice = self._voices.get(address)
        if voice is not None:
            voice.close("it has become a replica")

    async def stop(self) -> None:
        """Close all; those who wait for a subscription are told that there will be none."""
        tasks = (self._task, *self._opening.values())
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)
        for waiting in self._missing.values():
            self._give_up(waiting, "the log was stopped")
        voices, self._voices = list(self._voices.values()), {}
        for voice in voices:
            voice.lost = None
            voice.close("the log was stopped")
        await asyncio.gather(*(voice.closed() for voice in voices))

    # The task.

    async def _run(self) -> None:
        while True:
            await self._pause()
            try:
                await self._mend()
            except Lost as error:
                self._failed(None, str(error))
            except Exception as error:  # noqa: BLE001 # whatever it is, it is told, and hearing goes on
                self._scattered = True
                self._failed(None, repr(error))

    async def _pause(self) -> None:
        """Wait until there is something to do."""
        # While the nodes cannot be found, nothing can be done for any of them.
        busy = self._opening.keys() | self._voices.keys()
        due = [at for address, (at, _) in self._delays.items() if address not in busy]
        if None in self._delays:
            due = [self._delays[None][0]]
        if self._topology.moves:
            due.append(self._next_look)
        try:
            async with asyncio.timeout_at(min(due, default=None)):
                await self._wake.wait()
        except TimeoutError:
            pass
        self._wake.clear()
        if self._topology.moves and self._loop.time() >= self._next_look:
            self._next_look = self._loop.time() + self._place.heartbeat_interval
            self._topology.renew().add_done_callback(lambda _: self._wake.set())

    async def _mend(self) -> None:
        """Have each node tell of the topics that it has."""
        if not self._is_due(None):
            return
        owners = await self._topology.owners()
        # From here on nothing is awaited: what is wanted does not change.
        self._delays.pop(None, None)
        changed, self._changed = self._changed, {}
        if self._scattered or owners != self._owners:
            self._scattered, self._owners = False, owners
            self._regroup(owners)
        else:
            for address, channels in _by_node(owners, changed).items():
                self._needed.add(address)
                if address in self._voices:
                    self._voices[address].change(channels, [name for name in channels if name not in self._topics])
        for address in self._needed - self._voices.keys() - self._opening.keys():
            if self._is_due(address):
                self._opening[address] = self._loop.create_task(self._open(address), name="unbroken redis voice")
        self._settle()

    def _regroup(self, owners: Owners) -> None:
        groups = _by_node(owners, {keys.channel: keys.bucket for keys in self._wanted.values()})
        if self._place.kind != "cluster" and owners[0] is not None:
            groups.setdefault(owners[0], {})  # also while nothing is watched: it shows at once when the engine is away
        self._needed = set(groups)
        for address in self._voices.keys() - self._needed:
            self._leave(address)
        for gone in self._delays.keys() - self._needed:
            del self._delays[gone]
        for address in self._voices.keys() & self._needed:
            self._voices[address].hold(groups[address])
            if address in self._delays:
                # Answered after the subscriptions: a node may let us in, and refuse those.
                self._voices[address].prove()

    async def _open(self, address: Address) -> None:
        """Connect to a node; what it is to tell of is settled in the next round."""
        await asyncio.sleep(0)  # also with eager tasks it comes to its end after it was kept
        connection = self._place.connection(address)
        try:
            await open_connection(connection, self._place.timeout, primary=self._place.kind != "cluster")
        except Lost as error:
            self._topology.doubt()
            if address in self._needed:
                self._failed(address, str(error))
        else:
            self._voices[address] = self._voice(connection, address)
            self._scattered = True
        finally:
            del self._opening[address]
            self._wake.set()

    def _voice(self, connection: Connection, address: Address) -> Voice:
        voice = Voice(
            connection,
            self._place,
            on_message=self._tell,
            on_confirmed=self._confirm,
            on_taken=self._take,
            on_proof=lambda: self._proved(address),
        )
        voice.lost = lambda: self._lose(address, voice)
        return voice

    def _leave(self, address: Address) -> None:
        voice = self._voices.pop(address)
        voice.lost = None
        voice.close("it is not needed")
        self._miss()

    # What the voices say.

    def _tell(self, channel: bytes, message: bytes) -> None:
        topic = self._topics.get(channel)
        if topic is None:
            return
        try:
            told = publication_of(message)
        except ValueError:  # somebody else publishes here
            self._listener.on_doubt((topic,))
            return
        if told.complete:
            self._listener.on_entries(topic, told.epoch, told.entries, told.closed)
        else:
            self._listener.on_doubt((topic,))

    def _confirm(self, channel: bytes) -> None:
        topic = self._topics.get(channel)
        if topic is None:
            return
        if topic in self._heard:
            self._doubted.add(topic)
        self._heard.add(topic)
        waiting = self._missing.pop(topic, None)
        if waiting is not None and not waiting.done():
            waiting.set_result(None)
        self._settle_soon()

    def _proved(self, address: Address) -> None:
        """A node has taken all that it was asked for, and answers."""
        if self._delays.pop(address, None) is not None:
            self._settle_soon()

    def _take(self, channel: bytes) -> None:
        """A node tells nothing more of a channel: it belongs to another."""
        self._scattered = True
        self._topology.doubt()
        topic = self._topics.get(channel)
        if topic is not None and not self._hears(self._wanted[topic]):
            self._missing.setdefault(topic, self._loop.create_future())
        self._wake.set()

    def _lose(self, address: Address, voice: Voice) -> None:
        if self._voices.get(address) is not voice:
            return
        del self._voices[address]
        self._scattered = True
        self._topology.doubt()
        self._miss()
        self._failed(address, voice.why)

    # What is the matter.

    def _miss(self) -> None:
        """Note of which topics nothing is heard now."""
        for topic, keys in self._wanted.items():
            if topic not in self._missing and not self._hears(keys):
                self._missing[topic] = self._loop.create_future()

    def _hears(self, keys: TopicKeys) -> bool:
        return any(voice.hears(keys.channel) for voice in self._voices.values())

    def _failed(self, address: Address | None, why: str) -> None:
        _, before = self._delays.get(address, (0.0, 0.0))
        delay = min(before * 2, LONGEST_DELAY) or FIRST_DELAY
        at = self._loop.time() + delay * random.uniform(0.5, 1.0)  # noqa: S311 - no secret
        self._delays[address] = (at, delay)
        self._wake.set()
        where = str(self._place) if address is None else f"{address[0]}:{address[1]}"
        self._trouble = str(unavailable(where, why))
        self._listener.on_trouble(self._trouble)

    def _give_up(self, waiting: asyncio.Future[None] | None, why: str) -> None:
        """Answer those who wait for a subscription that will not be."""
        if waiting is not None and not waiting.done():
            waiting.set_exception(unavailable(str(self._place), why))
            waiting.exception()  # there may be nobody

    def _is_due(self, address: Address | None) -> bool:
        return self._delays.get(address, (0.0, 0.0))[0] <= self._loop.time()

    def _settle_soon(self) -> None:
        """Settle once for all that comes in this turn."""
        if not self._settling:
            self._settling = True
            self._loop.call_soon(self._settle)

    def _settle(self) -> None:
        """Tell of what is heard anew; and that all is well, when it is again."""
        self._settling = False
        if self._trouble is not None and not self._delays and self._heard.isdisjoint(self._missing):
            self._trouble = None
            self._listener.on_trouble(None)
        doubted, self._doubted = self._doubted & self._heard, set()
        if doubted:
            self._listener.on_doubt(doubted)


def _by_node(owners: Owners, channels: Mapping[bytes, int]) -> dict[Address, dict[bytes, int]]:
    groups = defaultdict[Address, dict[bytes, int]](dict)
    for channel, bucket in channels.items():
        address = owners[bucket]
        if address is not None:
            groups[address][channel] = bucket
    return groups
