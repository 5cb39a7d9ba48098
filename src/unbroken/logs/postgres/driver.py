"""asyncpg: how a connection is opened, what it can do, and what its errors mean."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Any, Protocol
from urllib.parse import parse_qs, urlsplit

from unbroken.errors import ConfigurationError, LogUnavailable, MissingExtraError
from unbroken.logs.postgres.place import Place, by_host, shown

try:
    import asyncpg  # type: ignore[import-untyped]
except ImportError as exc:
    raise MissingExtraError("asyncpg", "postgres") from exc

__all__ = ["FAILURES", "Conflict", "Connection", "Lost", "Row", "connect", "is_ours", "translate"]

Row = Mapping[str, Any]

KEEP_ALIVE_IDLE = 30
KEEP_ALIVE_INTERVAL = 10
KEEP_ALIVE_COUNT = 3
"""A minute of silence: for what lies between that forgets idle connections. Deafness is found by the heartbeat."""

CACHED_STATEMENTS = 32

FAILURES: tuple[type[Exception], ...] = (
    asyncpg.PostgresError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,
    OSError,
    EOFError,
)
"""All that asyncpg raises. TimeoutError is an OSError."""


class Lost(LogUnavailable):
    """The connection ended before an answer came: what was asked may have been done."""


class Conflict(LogUnavailable):
    """Other transactions were in the way: what was asked was surely not done, and may be asked again."""


class Connection(Protocol):
    """What is used of a connection of asyncpg's, which has no types of its own."""

    async def fetch(self, query: str, *args: object) -> Sequence[Row]:
        """Return all rows."""
        ...

    async def fetchrow(self, query: str, *args: object) -> Row | None:
        """Return the first row."""
        ...

    async def fetchval(self, query: str, *args: object) -> Any:
        """Return the first value of the first row."""
        ...

    async def execute(self, query: str, *args: object) -> str:
        """Run a statement; without arguments, several."""
        ...

    async def add_listener(self, channel: str, callback: Callable[[Any, int, str, str], None]) -> None:
        """Listen to a channel; the callback gets the connection, the sender's process, the channel and the payload."""
        ...

    def add_termination_listener(self, callback: Callable[[Any], None]) -> None:
        """Have the callback called when the connection ends."""
        ...

    def transaction(self, *, isolation: str) -> AbstractAsyncContextManager[None]:
        """Return a transaction, or a savepoint within one."""
        ...

    def is_closed(self) -> bool:
        """Say whether it is known to have ended."""
        ...

    def terminate(self) -> None:
        """Drop it at once."""
        ...


class _KeptAlive(asyncpg.Connection):  # type: ignore[misc]
    """A connection whose socket is kept alive: asyncpg itself leaves that to the system, where it is off."""

    def __init__(self, protocol: Any, transport: asyncio.BaseTransport, *args: Any, **more: Any) -> None:
        super().__init__(protocol, transport, *args, **more)
        _keep_alive(transport.get_extra_info("socket"))


async def connect(place: Place, dsn: str, timeout: float) -> Connection:
    """Open a connection, to the first of several hosts that will do.

    Each gets its share of the time: asyncpg itself would leave all of it to one that is silent.

    Raises:
        LogUnavailable: it cannot be opened, or not within `timeout` seconds.
        ConfigurationError: the URL asks what asyncpg does not have.
    """
    deadline = asyncio.get_running_loop().time() + timeout
    hosts, errors = by_host(dsn), list[LogUnavailable]()
    for number, host in enumerate(hosts):
        left = deadline - asyncio.get_running_loop().time()
        try:
            return await _connect(place, host, max(left, 0) / (len(hosts) - number))
        except LogUnavailable as exc:
            errors.append(exc)
    if len(errors) == 1:
        raise errors[0]
    raise Lost("; and ".join(map(str, errors)))


async def _connect(place: Place, dsn: str, timeout: float) -> Connection:
    asked = parse_qs(urlsplit(dsn).query)
    settings = {} if "application_name" in asked else {"application_name": "unbroken"}
    # Of several hosts the one that can be written to, and that has all there is.
    primary = None if "target_session_attrs" in asked else "primary"
    try:
        async with asyncio.timeout(timeout):
            connection: Connection = await asyncpg.connect(
                dsn,
                connection_class=_KeptAlive,
                statement_cache_size=CACHED_STATEMENTS if place.prepared_statements else 0,
                server_settings=settings,
                target_session_attrs=primary,
                timeout=timeout,
            )
    except asyncpg.exceptions.ClientConfigurationError as exc:
        raise ConfigurationError(f"the URL of {place} cannot be used: {exc}") from None
    except FAILURES as exc:
        raise translate(place, exc, dsn, f"did not take a connection within {timeout:.3g} s") from exc
    except ValueError:  # its text may have a piece of the password
        raise ConfigurationError(
            f"the URL of {place} cannot be used: percent-encode user, password and settings"
        ) from None
    return connection


def is_ours(candidate: object) -> bool:
    """Say whether this is a connection of asyncpg's, or one from its pool."""
    return isinstance(candidate, asyncpg.Connection | asyncpg.pool.PoolConnectionProxy)


def translate(place: Place, error: Exception, dsn: str | None = None, late: str = "") -> LogUnavailable:
    """Return the error for people: which database, what happened, and what helps."""
    where = f"PostgreSQL at {shown(dsn or place.dsn)}"
    if isinstance(error, TimeoutError):
        return Lost(f"{where} {late or 'did not answer in time'}{_HELP_SILENT}")
    state = getattr(error, "sqlstate", None) or ""
    kind = Lost if not state or state.startswith(_LOST) else Conflict if state in _CONFLICTS else LogUnavailable
    said = str(error).partition("\n")[0] or type(error).__name__
    code = f" ({state})" if state else ""
    return kind(f"{where} cannot be used: {said}{code}{_meaning(place, state, error)}")


_LOST = ("08", "57P01", "57P02", "57P03")
"""The beginnings of the codes with which a server ends a connection, or lets none in."""

_CONFLICTS = ("40001", "40P01", "55P03")

_HELP_SILENT = ": see whether it runs, or is overloaded, and what lies between"

_MEANINGS = {
    "25006": "; it takes no writes: see default_transaction_read_only, and whether this is a replica",
    "28": "; see user and password of the URL, and pg_hba.conf",
    "3D000": "; make the database first",
    "3F000": "; the schema is not there: apply what `python -m unbroken.logs.postgres` prints",
    "42P01": "; a table is not there: apply what `python -m unbroken.logs.postgres` prints",
    "42883": "; a function is not there: apply what `python -m unbroken.logs.postgres` prints",
    "42501": "; its user needs USAGE on the schema, and to read, insert, update and delete in its tables",
    "53100": "; free some room: nothing of it was kept",
    "53300": "; it has no connection left: see max_connections, or put a pooler before it",
    "42P05": "; put prepared_statements=false into the URL: there is a pooler that changes sessions",
    "26000": "; put prepared_statements=false into the URL: there is a pooler that changes sessions",
    "54000": "; if it is the queue of notifications: end the transaction of a session that listens, or put wake=poll",
    "55P03": "; the call before, whose answer was lost, has not ended yet",
}


def _meaning(place: Place, state: str, error: Exception) -> str:
    if isinstance(error, asyncpg.exceptions.TargetServerAttributeNotMatched):
        return "; it is a replica: name its primary, too, as in postgresql://one,other/database"
    return next((text for start, text in _MEANINGS.items() if state.startswith(start)), "")


def _keep_alive(end: Any) -> None:
    if end is None or end.family not in (socket.AF_INET, socket.AF_INET6):
        return
    end.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for name, value in (
        ("TCP_KEEPIDLE", KEEP_ALIVE_IDLE),
        ("TCP_KEEPINTVL", KEEP_ALIVE_INTERVAL),
        ("TCP_KEEPCNT", KEEP_ALIVE_COUNT),
    ):
        if hasattr(socket, name):  # macOS has not all of them
            end.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)
