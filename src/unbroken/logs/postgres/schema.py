"""The tables and functions: plain SQL files, applied in their order, each once."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from importlib.resources import files

from unbroken.errors import LogUnavailable
from unbroken.logs.postgres.driver import Connection
from unbroken.logs.postgres.place import Place

__all__ = ["Migration", "migrations", "prepare", "script"]

# A schema that is there needs no right to make one; with IF NOT EXISTS it would.
_TABLE = """DO $$ BEGIN IF to_regnamespace('{schema}') IS NULL THEN CREATE SCHEMA {schema}; END IF; END $$;
CREATE TABLE IF NOT EXISTS {schema}.migrations (
    number int PRIMARY KEY,
    applied_at timestamptz NOT NULL DEFAULT now()
);
"""

_LOCK = "SELECT pg_advisory_xact_lock(hashtextextended('unbroken.{schema}', 0));\n"
"""Several processes start at once: one applies, and the others find that it is done."""


@dataclass(frozen=True, slots=True)
class Migration:
    """One step."""

    number: int
    name: str
    sql: str
    """With `{schema}` where the schema's name stands."""


@cache
def migrations() -> tuple[Migration, ...]:
    """Return all steps, in their order."""
    folder = files(__package__).joinpath("migrations")
    found = sorted((file for file in folder.iterdir() if file.name.endswith(".sql")), key=lambda file: file.name)
    return tuple(Migration(int(file.name[:4]), file.name, file.read_text("utf-8")) for file in found)


def script(schema: str, after: int = 0) -> str:
    """Return the SQL that an administrator applies: what `migrate` would do, from the step after `after` on."""
    steps = [f"-- {step.name}\n{step.sql}{_noted(step)}" for step in migrations() if step.number > after]
    return "\n".join(["BEGIN;", _LOCK + _TABLE, *steps, "COMMIT;\n"]).replace("{schema}", schema)


async def prepare(connection: Connection, place: Place) -> None:
    """Apply what is missing, if that is wanted; else see that nothing is. To be called in a transaction.

    Raises:
        LogUnavailable: something is missing, or was made by a newer version.
    """
    applied = await _applied(connection, place.namespace)
    newest = migrations()[-1].number
    if applied < newest and place.migrate:
        await _apply(connection, place.namespace)
    elif applied < newest:
        raise LogUnavailable(
            f"{place} cannot be used: its tables are at step {applied}, and this needs {newest}. Apply what `python -m "
            f"unbroken.logs.postgres --schema {place.schema} --after {applied}` prints, or leave migrate=true"
        )
    elif applied > newest:
        raise LogUnavailable(
            f"{place} cannot be used: its tables are at step {applied}, and this is made for {newest}; take a newer "
            "unbroken"
        )


async def _applied(connection: Connection, schema: str) -> int:
    if await connection.fetchval("SELECT to_regclass($1)::text", f"{schema}.migrations") is None:
        return 0
    return int(await connection.fetchval(f"SELECT coalesce(max(number), 0) FROM {schema}.migrations"))  # noqa: S608 # checked


async def _apply(connection: Connection, schema: str) -> None:
    await connection.execute((_LOCK + _TABLE).replace("{schema}", schema))
    applied = await _applied(connection, schema)
    for step in migrations():
        if step.number > applied:
            await connection.execute((step.sql + _noted(step)).replace("{schema}", schema))


def _noted(step: Migration) -> str:
    return f"INSERT INTO {{schema}}.migrations (number) VALUES ({step.number});\n"  # noqa: S608 # our own
