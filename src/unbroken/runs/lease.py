"""Which processes live: each gives signs of life, and each watches those of the others by its own clock."""

from __future__ import annotations

import asyncio
import json
import math
import time
from collections.abc import Iterable
from contextvars import Context
from dataclasses import dataclass

from unbroken.errors import LogError, LogUnavailable
from unbroken.logs import Head
from unbroken.observe import logger
from unbroken.runs.desk import Desk
from unbroken.runs.names import LEASE

__all__ = ["Lease", "Leases"]

OPEN_PATIENCE = 10.0
CLOSE_PATIENCE = 2.0
"""Seconds for the first sign, and for the last."""

NEVER = -math.inf


class Lease:
    """The signs of life of this process: one entry every third of the lease, however many runs it has."""

    def __init__(self, desk: Desk, process: str, lease: float) -> None:
        self._desk = desk
        self._topic = LEASE + process
        self._lease = lease
        self._interval = lease / 3
        self._task: asyncio.Task[None] | None = None
        self._given_at = NEVER

    @property
    def is_fresh(self) -> bool:
        """Whether others see that this process lives: one that cannot write its own signs is no judge of theirs."""
        return asyncio.get_running_loop().time() - self._given_at < 2 * self._interval

    async def open(self) -> None:
        """Give the first sign, and go on.

        Raises:
            LogUnavailable: it cannot be given now.
        """
        await self._beat(OPEN_PATIENCE)
        self._task = asyncio.get_running_loop().create_task(self._go_on(), name="unbroken lease", context=Context())

    async def close(self) -> None:
        """Say that this was the last one, so that nobody waits to find out."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait((self._task,))
        try:
            await self._desk.append(self._topic, [], close=True, patience=CLOSE_PATIENCE)
        except LogError as exc:
            logger.debug("other processes will find out that this one is gone: %s", exc)

    async def _go_on(self) -> None:
        while True:
            await asyncio.sleep(self._interval)
            try:
                # Past the interval another one would be due; to repeat this one tells nobody anything.
                await self._beat(self._interval)
            except LogError as exc:
                logger.debug("a sign of life could not be given: %s", exc)

    async def _beat(self, patience: float) -> None:
        sign = json.dumps({"at": round(time.time(), 3), "lease": self._lease}).encode()
        await self._desk.append(self._topic, [sign], patience=patience)
        self._given_at = asyncio.get_running_loop().time()


@dataclass(slots=True)
class _Seen:
    head: Head
    lease: float
    """Its own, in seconds: that of who looks may be another, as in the midst of a deployment."""
    changed_at: float
    """When it was first seen, or seen to have changed; by this process's own clock."""


class Leases:
    """The signs of life of other processes, as this one sees them."""

    def __init__(self, desk: Desk, lease: float) -> None:
        self._desk = desk
        self._lease = lease
        self._seen: dict[str, _Seen] = {}
        self._looked_at = NEVER

    async def look(self, processes: Iterable[str]) -> None:
        """Look at the signs of these processes, and forget the others.

        Raises:
            LogUnavailable: they cannot be looked at now. That is nobody's death: all get their time anew.
        """
        wanted = set(processes)
        self._seen = {process: seen for process, seen in self._seen.items() if process in wanted}
        self._give_time()
        try:
            for process in wanted:
                await self._see(process)
        except LogUnavailable:
            self.look_away()
            raise

    def look_away(self) -> None:
        """Take nothing that was seen so far for a silence."""
        self._looked_at = NEVER

    def is_dead(self, process: str) -> bool:
        """Whether a process has said that it goes, or has said nothing for as long as the lease."""
        seen = self._seen.get(process)
        if seen is None:
            return False
        return seen.head.closed or self._looked_at - seen.changed_at >= seen.lease

    def dead_for(self, process: str) -> float:
        """Return for how many seconds a process has given no sign."""
        seen = self._seen.get(process)
        return 0.0 if seen is None else self._looked_at - seen.changed_at

    def _give_time(self) -> None:
        """Where nobody looked for long, nobody knows what was to be seen: the log was away, or this process stood."""
        now = asyncio.get_running_loop().time()
        if now - self._looked_at > self._lease:
            for seen in self._seen.values():
                seen.changed_at = now
        self._looked_at = now

    async def _see(self, process: str) -> None:
        head, seen = await self._desk.log.head(LEASE + process), self._seen.get(process)
        now = asyncio.get_running_loop().time()
        if seen is None:
            sign = await self._desk.last(LEASE + process)
            lease = self._lease if sign is None else float(json.loads(sign.payload).get("lease", self._lease))
            self._seen[process] = _Seen(head, lease, now)
            return
        if seen.head.position != head.position:
            seen.changed_at = now
        seen.head = head
