"""A connection that subscribes, and that has to prove that it hears."""

from __future__ import annotations

import asyncio
from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

from redis.asyncio.connection import Connection
from redis.exceptions import ResponseError

from unbroken.logs.redis.failures import meaning_of
from unbroken.logs.redis.pipe import Pipe, Queued
from unbroken.logs.redis.place import Place

__all__ = ["Voice"]

BATCH = 500
"""Channels of one command."""

Channels = Mapping[bytes, int]
"""By name: the bucket. In a cluster one command may name channels of one slot only."""


class Voice(Pipe):
    """Publications of one node.

    Every `heartbeat_interval` seconds the engine is asked on this very connection, and has to answer within
    `heartbeat_timeout`: only so a connection shows that is half open, or that a firewall has forgotten.
    """

    def __init__(
        self,
        connection: Connection,
        place: Place,
        *,
        on_message: Callable[[bytes, bytes], None],
        on_confirmed: Callable[[bytes], None],
        on_taken: Callable[[bytes], None],
        on_proof: Callable[[], None],
    ) -> None:
        self._on_message = on_message
        self._on_confirmed = on_confirmed
        self._on_taken = on_taken
        self._on_proof = on_proof
        self._place = place
        self._sharded = place.kind == "cluster"
        self._asked = dict[bytes, int]()
        self._entering = Counter[bytes]()
        self._leaving = Counter[bytes]()
        self._loop = asyncio.get_running_loop()
        self._timer = self._loop.call_later(place.heartbeat_interval, self.prove)
        super().__init__(connection, None)

    def hold(self, channels: Channels) -> None:
        """Be subscribed to these and to no others."""
        old = [name for name in self._asked if name not in channels]
        self.change({**channels, **{name: self._asked[name] for name in old}}, old)

    def change(self, channels: Channels, unwanted: Collection[bytes]) -> None:
        """Be subscribed to these, but for the unwanted."""
        new = {name: bucket for name, bucket in channels.items() if name not in self._asked and name not in unwanted}
        old = {name: channels[name] for name in unwanted if name in self._asked}
        self._asked.update(new)
        for name in old:
            del self._asked[name]
        self._entering.update(new.keys())
        self._leaving.update(old.keys())
        self._command("UNSUBSCRIBE", old)
        self._command("SUBSCRIBE", new)

    def hears(self, channel: bytes) -> bool:
        """Whether all is told that is published there from now on."""
        return self.alive and channel in self._asked and not self._entering[channel]

    def _command(self, name: str, channels: Channels) -> None:
        groups = defaultdict[int, list[bytes]](list)
        for channel, bucket in channels.items():
            groups[bucket if self._sharded else 0].append(channel)
        for group in groups.values():
            for start in range(0, len(group), BATCH):
                self._put(Queued(("S" * self._sharded + name, *group[start : start + BATCH])))

    def prove(self) -> None:
        """Send a heartbeat now: its answer comes after those to all that was asked before."""
        self._timer.cancel()
        self._put(Queued(("PING",)))
        timeout = self._place.heartbeat_timeout
        self._timer = self._loop.call_later(timeout, self.close, f"its heartbeat was not answered within {timeout:g} s")

    def _on_reply(self, reply: Any) -> None:
        if isinstance(reply, ResponseError):
            self.close(meaning_of(reply))
            return
        kind = reply[0] if isinstance(reply, list) else reply
        match kind:
            case b"message" | b"smessage":
                self._on_message(reply[1], reply[2])
            case b"subscribe" | b"ssubscribe":
                self._entered(reply[1])
            case b"unsubscribe" | b"sunsubscribe":
                self._left(reply[1])
            case b"pong" | b"PONG":
                self._timer.cancel()
                self._timer = self._loop.call_later(self._place.heartbeat_interval, self.prove)
                self._on_proof()

    def _entered(self, channel: bytes) -> None:
        self._entering[channel] -= 1
        if not self._entering[channel]:
            del self._entering[channel]
            if channel in self._asked:
                self._on_confirmed(channel)

    def _left(self, channel: bytes) -> None:
        self._leaving[channel] -= 1
        if self._leaving[channel] < 0:  # not by us: the slot of this channel has moved to another node
            self._asked.pop(channel, None)
            self._on_taken(channel)
        if self._leaving[channel] <= 0:
            del self._leaving[channel]

    def _beat(self) -> None:
        pass  # by its own clock: the answer is awaited

    def _on_written(self, queued: Sequence[Queued]) -> None:
        pass

    def _on_lost(self) -> None:
        self._timer.cancel()
