"""One connection that is opened when it is needed, and anew when it broke."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

from unbroken.logs.postgres.driver import FAILURES, Conflict, Connection, connect, translate
from unbroken.logs.postgres.place import Place
from unbroken.logs.postgres.schema import prepare

__all__ = ["Session"]

T = TypeVar("T")


class Session:
    """A connection for one task, which opens it, uses it and closes it.

    A call that takes too long is not cancelled: asyncpg would ask the server, over yet another connection, and wait for
    its answer. The connection is dropped instead.
    """

    def __init__(self, place: Place, dsn: str | None = None) -> None:
        """Over another URL, if one is given: then no tables are made there."""
        self._place = place
        self._dsn = dsn or place.dsn
        self._prepares = dsn is None
        self._connection: Connection | None = None
        self._wrapped = not place.prepared_statements

    @property
    def current(self) -> Connection | None:
        """The connection, if there is one that is not known to be broken."""
        return None if self._connection is None or self._connection.is_closed() else self._connection

    async def run(self, work: Callable[[Connection], Awaitable[T]], timeout: float) -> T:
        """Return what `work` gets from the connection.

        Raises:
            Lost: it ended before the answer, or none came within `timeout` seconds.
            LogUnavailable: the server refused.
        """
        loop = asyncio.get_running_loop()
        deadline = loop.time() + timeout
        connection = await self.open(timeout)
        late = loop.call_at(deadline, connection.terminate)
        try:
            return await self._do(connection, work)
        except FAILURES as exc:
            reason = TimeoutError() if loop.time() >= deadline else exc
            error = translate(self._place, reason, self._dsn, f"did not answer within {timeout:.3g} s")
            self._wrapped |= isinstance(error, Conflict)  # the server's default level may have changed
            raise error from exc
        except BaseException:
            connection.terminate()  # a task that is cancelled here leaves an answer behind that is not the next one's
            raise
        finally:
            late.cancel()

    async def open(self, timeout: float) -> Connection:
        """Return the connection, opened if there is none or it broke, with all tables there.

        Raises:
            LogUnavailable: it cannot be.
        """
        if self._connection is None or self._connection.is_closed():
            self._connection = None
            self._connection = await self._opened(timeout)
        return self._connection

    def terminate(self) -> None:
        """Drop it at once."""
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.terminate()

    async def _do(self, connection: Connection, work: Callable[[Connection], Awaitable[T]]) -> T:
        if not self._wrapped:
            return await work(connection)
        async with connection.transaction(isolation="read_committed"):
            return await work(connection)

    async def _opened(self, timeout: float) -> Connection:
        loop = asyncio.get_running_loop()
        deadline = loop.time() + timeout
        connection = await connect(self._place, self._dsn, timeout)
        late = loop.call_at(deadline, connection.terminate)
        try:
            async with connection.transaction(isolation="read_committed"):
                if self._prepares:
                    await prepare(connection, self._place)
                isolation = await connection.fetchval("SELECT current_setting('default_transaction_isolation')")
        except FAILURES as exc:
            connection.terminate()
            reason = TimeoutError() if loop.time() >= deadline else exc
            raise translate(self._place, reason, self._dsn, f"did not answer within {timeout:.3g} s") from exc
        except BaseException:
            connection.terminate()
            raise
        finally:
            late.cancel()
        # Appends wait for each other on a topic's row, and go on with what they find then: no other level does that.
        self._wrapped = not self._place.prepared_statements or isolation != "read committed"
        return connection
