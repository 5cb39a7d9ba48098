"""A connection for commands that is made when it is needed, and anew when it was lost."""

from __future__ import annotations

import asyncio

from unbroken.logs.redis.pipe import open_connection, retrieve
from unbroken.logs.redis.place import Address, Place
from unbroken.logs.redis.wire import Wire

__all__ = ["Line"]


class Line:
    """The wire to one node; whoever needs it while it is made waits for the same one."""

    def __init__(self, place: Place, address: Address) -> None:
        self._place = place
        self._address = address
        self._wire: Wire | None = None
        self._opening: asyncio.Task[Wire] | None = None

    async def wire(self) -> Wire:
        """Return an open wire.

        Raises:
            Lost: none could be made.
        """
        if self._wire is not None and self._wire.alive:
            return self._wire
        if self._opening is None:
            task = asyncio.get_running_loop().create_task(self._open(), name="unbroken redis line")
            task.add_done_callback(retrieve)
            self._opening = task
        return await asyncio.shield(self._opening)

    @property
    def idle(self) -> bool:
        """Whether nobody waits for it."""
        return self._opening is None and (self._wire is None or self._wire.idle)

    def drop(self, why: str) -> None:
        """Give up the wire there is."""
        if self._wire is not None:
            self._wire.close(why)

    async def stop(self, timeout: float) -> None:
        """Let what was begun come to its end, and close."""
        if self._opening is not None:
            self._opening.cancel()
            await asyncio.wait((self._opening,))
        if self._wire is not None:
            try:
                await self._wire.drain(timeout)
            finally:
                self._wire.close("the log was stopped")
            await self._wire.closed()

    async def _open(self) -> Wire:
        await asyncio.sleep(0)  # also with eager tasks it comes to its end after it was kept
        try:
            connection = self._place.connection(self._address)
            await open_connection(connection, self._place.timeout, primary=self._place.kind != "cluster")
            self._wire = Wire(connection, self._place.heartbeat_interval, self._place.timeout)
            return self._wire
        finally:
            self._opening = None
