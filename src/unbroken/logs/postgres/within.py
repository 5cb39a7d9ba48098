"""Appending in a transaction of the application's own, through whatever it is connected by."""

from __future__ import annotations

import sys
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any

from unbroken.errors import ConfigurationError
from unbroken.logs.contract import Appended, Entry
from unbroken.logs.postgres.batch import Batch, answered, append_arguments
from unbroken.logs.postgres.driver import Row, is_ours
from unbroken.logs.postgres.place import Place
from unbroken.logs.postgres.statements import BETWEEN, entry_of

__all__ = ["append", "append_sync"]

_APPEND = """
SELECT outcome, epoch, first_seq::text, seq::text, tag, previous, fence::text, appended_at::text
FROM {schema}.append({0},{1},{2},{3},{4},{5},{6},{7},{8},{9},{10},{11},NULL)
"""
_APPEND_TYPES = (
    "bytea[]", "text[]", "text[]", "int[]", "bytea[]", "bigint[]", "text[]", "int[]", "text[]", "bytea[]",
    "text", "int",
)  # fmt: skip
# All answers are text: the connection is an application's, which may have codecs of its own for anything else.
_BETWEEN = f"""
SELECT seq::text, tag, previous, encode(payload, 'hex') AS payload, appended_at::text
FROM ({BETWEEN}) AS found ORDER BY found.seq
"""  # noqa: S608 # a constant
_READERS: dict[str, Callable[[str], object]] = {
    "first_seq": int, "seq": int, "fence": int, "appended_at": float, "payload": bytes.fromhex
}  # fmt: skip
_BETWEEN_TYPES = ("bytea", "text", "bigint", "bigint")

_KINDS = "a connection of asyncpg or psycopg, or a connection or session of SQLAlchemy"


@dataclass(frozen=True, slots=True)
class _Question:
    """A query with a place for each argument, which every driver writes otherwise."""

    text: str
    types: tuple[str, ...]
    arguments: tuple[object, ...]

    def written(self, place: Callable[[int, str], str]) -> str:
        """Return the query with the places as `place` writes them, from the number and the type."""
        return self.text.format(*(place(number, type_) for number, type_ in enumerate(self.types, 1)))


async def append(connection: Any, place: Place, batch: Batch) -> Appended:
    """Append a batch in the transaction that the connection is in."""
    asked = await _asker(connection)
    row = _plain((await asked(_to_append(place, batch)))[0])
    kept = await asked(_to_read(place, batch, row)) if _is_read(row) else ()
    return answered(batch, row, _entries(kept))


def append_sync(connection: Any, place: Place, batch: Batch) -> Appended:
    """Do the same with a synchronous one."""
    asked = _asker_sync(connection)
    row = _plain(asked(_to_append(place, batch))[0])
    kept = asked(_to_read(place, batch, row)) if _is_read(row) else ()
    return answered(batch, row, _entries(kept))


# What is asked.


def _to_append(place: Place, batch: Batch) -> _Question:
    text = _APPEND.replace("{schema}", place.namespace)
    patience = int(place.timeout * 1000)
    return _Question(text, _APPEND_TYPES, (*append_arguments([[batch]]), place.notified, patience))


def _to_read(place: Place, batch: Batch, row: Row) -> _Question:
    text = _BETWEEN.replace("{schema}", place.namespace)
    for number in range(1, 5):
        text = text.replace(f"${number}", f"{{{number - 1}}}")
    return _Question(text, _BETWEEN_TYPES, (batch.topic.encode(), row["epoch"], row["first_seq"], row["seq"]))


def _is_read(row: Row) -> bool:
    return bool(row["outcome"] == "duplicate" and row["first_seq"] <= row["seq"])


def _entries(rows: Sequence[Row]) -> tuple[Entry, ...]:
    return tuple(entry_of(_plain(row)) for row in rows)


def _plain(row: Row) -> Row:
    """Return a row with its values: from a database of encoding SQL_ASCII psycopg has bytes for texts."""
    texts = {name: value.decode() if isinstance(value, bytes) else value for name, value in row.items()}
    return {name: value if value is None else _READERS.get(name, str)(value) for name, value in texts.items()}


# Whom. None of them is imported: what is given was made by something that is imported already.


async def _asker(connection: Any) -> Callable[[_Question], Awaitable[Sequence[Row]]]:
    if is_ours(connection):
        _check_in_transaction(connection.is_in_transaction())
        return lambda question: _ask_asyncpg(connection, question)
    if _is_any(connection, "psycopg", "AsyncConnection"):
        _check_in_transaction(_is_in_transaction(connection))
        return lambda question: _ask_psycopg(connection, question)
    if _is_any(connection, "sqlalchemy.ext.asyncio", "AsyncSession", "async_scoped_session"):
        connection = await connection.connection()
    if _is_any(connection, "sqlalchemy.ext.asyncio", "AsyncConnection"):
        _check_sqlalchemy(connection.sync_connection)
        return lambda question: _ask_sqlalchemy(connection, question)
    raise _refusal(connection, "asynchronous", "_sync" if _is_sync(connection) else "")


def _asker_sync(connection: Any) -> Callable[[_Question], Sequence[Row]]:
    if _is_any(connection, "psycopg", "Connection"):
        _check_in_transaction(_is_in_transaction(connection))
        return lambda question: _ask_psycopg_sync(connection, question)
    if _is_any(connection, "sqlalchemy.orm", "Session", "scoped_session"):
        connection = connection.connection()
    if _is_any(connection, "sqlalchemy", "Connection"):
        _check_sqlalchemy(connection)
        return lambda question: _ask_sqlalchemy_sync(connection, question)
    raise _refusal(connection, "synchronous", "")


def _is_any(connection: object, module: str, *names: str) -> bool:
    found = sys.modules.get(module)
    return found is not None and isinstance(connection, tuple(getattr(found, name) for name in names))


def _is_sync(connection: object) -> bool:
    try:
        _asker_sync(connection)
    except ConfigurationError:
        return False
    return True


def _refusal(connection: object, wanted: str, suffix: str) -> ConfigurationError:
    kind = f"{type(connection).__module__}.{type(connection).__qualname__}"
    hint = "; for a synchronous one there are publish_sync and append_within_sync" if suffix else ""
    return ConfigurationError(f"a {kind} cannot be appended within: give {_KINDS}, a {wanted} one{hint}")


def _check_in_transaction(is_in: bool) -> None:
    if not is_in:
        raise ConfigurationError("the connection is in no transaction: begin one, and append before it is committed")


def _is_in_transaction(connection: Any) -> bool:
    """Say whether psycopg has begun one, or will at the next statement."""
    return not connection.autocommit or connection.info.transaction_status.name == "INTRANS"


def _check_sqlalchemy(connection: Any) -> None:
    if connection is None:
        raise ConfigurationError("the connection is not open: append between its begin and its commit")
    name = connection.dialect.name
    if name != "postgresql":
        raise ConfigurationError(f"the connection is to {name}: give one to the log's own PostgreSQL")
    driver = connection.connection.dbapi_connection
    _check_in_transaction(not getattr(driver, "autocommit", False))


async def _ask_asyncpg(connection: Any, question: _Question) -> Sequence[Row]:
    query = question.written(lambda number, type_: f"${number}::{type_}")
    rows: Sequence[Row] = await connection.fetch(query, *question.arguments)
    return rows


async def _ask_psycopg(connection: Any, question: _Question) -> Sequence[Row]:
    # Not its own kind of cursor: that may write places otherwise.
    dict_row = sys.modules["psycopg.rows"].dict_row
    async with sys.modules["psycopg"].AsyncCursor(connection, row_factory=dict_row) as cursor:
        await cursor.execute(_of_psycopg(question), question.arguments)
        rows: Sequence[Row] = await cursor.fetchall()
        return rows


def _ask_psycopg_sync(connection: Any, question: _Question) -> Sequence[Row]:
    with sys.modules["psycopg"].Cursor(connection, row_factory=sys.modules["psycopg.rows"].dict_row) as cursor:
        cursor.execute(_of_psycopg(question), question.arguments)
        rows: Sequence[Row] = cursor.fetchall()
        return rows


def _of_psycopg(question: _Question) -> str:
    return question.written(lambda _, type_: f"%s::{type_}")


async def _ask_sqlalchemy(connection: Any, question: _Question) -> Sequence[Row]:
    text, arguments = _of_sqlalchemy(question)
    rows: Sequence[Row] = (await connection.execute(text, arguments)).mappings().all()
    return rows


def _ask_sqlalchemy_sync(connection: Any, question: _Question) -> Sequence[Row]:
    text, arguments = _of_sqlalchemy(question)
    rows: Sequence[Row] = connection.execute(text, arguments).mappings().all()
    return rows


def _of_sqlalchemy(question: _Question) -> tuple[Any, dict[str, object]]:
    text = sys.modules["sqlalchemy"].text(question.written(lambda number, type_: f"CAST(:a{number} AS {type_})"))
    return text, {f"a{number}": argument for number, argument in enumerate(question.arguments, 1)}
