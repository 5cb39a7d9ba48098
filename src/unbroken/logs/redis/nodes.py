"""Calls that find their node: the lines to each, and what is tried again."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from redis.exceptions import ResponseError

from unbroken.logs.redis.failures import UNTOUCHED, Lost, Refused, code_of, meaning_of, node_of
from unbroken.logs.redis.line import Line
from unbroken.logs.redis.pipe import Arg, retrieve
from unbroken.logs.redis.place import Address, Place
from unbroken.logs.redis.scripts import Script
from unbroken.logs.redis.topology import Topology
from unbroken.logs.redis.wire import Wire

__all__ = ["Call", "Nodes"]

REDIRECTIONS = 64
TRYAGAIN_INTERVAL = 0.05
"""Seconds until the keys of a slot that is moving may be together again."""


@dataclass(frozen=True, slots=True)
class Call:
    """A command for the node of a bucket."""

    bucket: int
    command: Sequence[Arg]
    script: Script | None = None
    writes: bool = False
    repeatable: bool = True
    """Made twice it does no more than once: then it may be made again where its answer was lost."""
    replicas: int = 0


@dataclass(frozen=True, slots=True)
class _Attempt:
    command: Sequence[Arg]
    address: Address | None = None
    """Where the engine has sent us; None: where the topology says."""
    asking: bool = False
    """The slot is on its way there."""


@dataclass(slots=True)
class _Tally:
    """What became of a call's attempts."""

    lost: int = 0
    sent: bool = False
    """The engine may have had one of them."""


class Nodes:
    """The lines of this process: to each node one for what writes, and one for what reads.

    A page of a megabyte before an append would hold it up.
    """

    def __init__(self, place: Place, topology: Topology) -> None:
        self._place = place
        self._topology = topology
        self._lines: dict[tuple[Address, bool], Line] = {}
        self._stopped = False
        self.demoted: Callable[[Address], None] = lambda _: None
        """Told of a node that was found to be no primary any more."""

    async def run(self, call: Call) -> Any:
        """Return the answer.

        Raises:
            Lost: the engine cannot be reached, or the answer was lost.
            Refused: what the engine says against it; or too few replicas have it.
        """
        tally = _Tally()
        try:
            return await self._tried(call, tally)
        except Lost as error:
            raise type(error)(str(error), sent=error.sent or tally.sent) from error

    async def _tried(self, call: Call, tally: _Tally) -> Any:
        attempt, said = _Attempt(call.command), ""
        for _ in range(REDIRECTIONS):
            try:
                return await self._once(call, attempt)
            except Refused:
                raise
            except Lost as error:
                self._topology.doubt()
                attempt, tally.lost, tally.sent = _Attempt(attempt.command), tally.lost + 1, tally.sent or error.sent
                if tally.lost > 1 or (error.sent and not call.repeatable):
                    raise
            except ResponseError as error:
                attempt, said = await self._next(call, attempt, error), str(error)
        raise Refused(f"it sent us elsewhere {REDIRECTIONS} times, the last time with {said!r}", sent=False)

    async def _next(self, call: Call, attempt: _Attempt, error: ResponseError) -> _Attempt:
        """Return what is to be tried instead: each of these errors says that nothing was done."""
        match code_of(error):
            case "NOSCRIPT" if call.script is not None:
                return replace(attempt, command=call.script.in_full(attempt.command))
            case "ASK":
                return replace(attempt, address=node_of(error), asking=True)
            case "MOVED" if self._place.kind == "cluster":
                self._topology.doubt()
                # Not of whom else we would ask: it may not have heard of that yet.
                return replace(attempt, address=node_of(error), asking=False)
            case "TRYAGAIN":
                await asyncio.sleep(TRYAGAIN_INTERVAL)
                return attempt
            case "READONLY":
                await self._give_up(call.bucket, "it has become a replica")
                return _Attempt(attempt.command)
        raise Refused(meaning_of(error), sent=code_of(error) not in UNTOUCHED) from error

    async def ready(self) -> None:
        """Connect for what writes.

        Raises:
            Lost: the engine cannot be reached.
        """
        await self._line(await self._topology.locate(0), writes=True).wire()

    async def stop(self) -> None:
        """Let what was begun come to its end, and close all."""
        self._stopped = True
        lines = list(self._lines.values())
        self._lines.clear()
        await asyncio.gather(*(line.stop(self._place.timeout) for line in lines))

    async def _once(self, call: Call, attempt: _Attempt) -> Any:
        address = attempt.address or await self._topology.locate(call.bucket)
        wire = await self._line(address, writes=call.writes).wire()
        if attempt.asking:
            wire.send(("ASKING",)).add_done_callback(retrieve)
        reply = await wire.send(attempt.command)
        if call.replicas:
            await self._confirm(wire, call.replicas)
        return reply

    async def _confirm(self, wire: Wire, replicas: int) -> None:
        try:
            count = await asyncio.shield(wire.confirm(replicas))
        except Lost as error:  # by now the append itself was answered, whether this was sent or not
            raise type(error)(str(error)) from error
        except ResponseError as error:
            raise Refused(f"it was written, but no replica could be asked for: {meaning_of(error)}") from error
        if count < replicas:
            raise Refused(f"it was written, but only {count} of {replicas} replicas have confirmed it in time")

    async def _give_up(self, bucket: int, why: str) -> None:
        """Leave a node that is no primary any more."""
        address = await self._topology.locate(bucket)
        for (found, _), line in self._lines.items():
            if found == address:
                line.drop(why)
        self._topology.doubt()
        self.demoted(address)

    def _line(self, address: Address, *, writes: bool) -> Line:
        line = self._lines.get((address, writes))
        if line is None:
            if self._stopped:
                raise Lost("the log was stopped", sent=False)
            self._leave_others()
            line = self._lines[address, writes] = Line(self._place, address)
        return line

    def _leave_others(self) -> None:
        """Close what goes to nodes that have nothing any more, as soon as nobody waits for an answer of theirs."""
        used = self._topology.known()
        for key, line in tuple(self._lines.items()):
            if used and key[0] not in used and line.idle:
                line.drop("it is not needed")
                del self._lines[key]
