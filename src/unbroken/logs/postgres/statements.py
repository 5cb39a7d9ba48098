"""What is asked of the database."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from unbroken.logs.batch import new_epoch
from unbroken.logs.contract import Entry, Head, Page, Retention
from unbroken.logs.postgres.batch import Batch, append_arguments
from unbroken.logs.postgres.driver import Connection, Row

__all__ = [
    "BETWEEN",
    "Call",
    "Trimmed",
    "append",
    "entries_between",
    "forget_writers",
    "make",
    "page",
    "topics",
    "trim",
]

PAGE_BYTES = 1024 * 1024
"""Payload after which a page ends."""

CHUNK = 500
"""Entries or keys that one step of a trim drops at most: no append waits for more than that."""

# One statement is one snapshot. The lengths of payloads are known without reading them.
_PAGE = f"""
SELECT t.epoch, t.seq AS head, t.tag AS head_tag, t.first_seq, t.closed IS NOT NULL AS closed,
    e.seq, e.tag, e.previous, e.payload, e.appended_at
FROM {{schema}}.topics AS t LEFT JOIN LATERAL (
    SELECT * FROM (
        SELECT *, sum(octet_length(payload)) OVER (
            ORDER BY seq ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING
        ) AS before
        FROM (
            SELECT * FROM {{schema}}.entries
            WHERE topic = t.id AND seq > greatest($2, t.first_seq - 1) ORDER BY seq LIMIT $3
        ) AS next
    ) AS summed WHERE before IS NULL OR before < {PAGE_BYTES}
) AS e ON true
WHERE t.name = $1 ORDER BY e.seq
"""  # noqa: S608 # a constant

BETWEEN = """
SELECT e.seq, e.tag, e.previous, e.payload, e.appended_at FROM {schema}.entries AS e
JOIN {schema}.topics AS t ON t.id = e.topic
WHERE t.name = $1 AND t.epoch = $2 AND e.seq BETWEEN $3 AND $4 ORDER BY e.seq
"""

_APPEND = "SELECT * FROM {schema}.append_once($1,$2,$3,$4,$5,$6,$7,$8,$9,$10,$11,$12,$13,$14,$15,$16,$17)"
_TRIM = "SELECT * FROM {schema}.trim($1,$2,$3,$4,$5,$6,$7)"

BIGGEST = 2**63 - 1


@dataclass(frozen=True, slots=True)
class Call:
    """One call of a writer: who it is, which call, and how it is to be made."""

    writer: str
    number: int
    patience: float
    """Seconds to wait for the locks of others."""
    commit: str | None
    channel: str | None
    wait: bool = False
    """For a topic that is held."""
    since: float | None = None
    """Seconds in which the call before may have been made, if this repeats it."""


@dataclass(frozen=True, slots=True)
class Trimmed:
    """What one step of a trim did."""

    gone: int
    more: bool
    forgotten: bool
    held: bool
    """Nothing: somebody's transaction has the topic."""


async def append(connection: Connection, schema: str, call: Call, topics: Sequence[Sequence[Batch]]) -> Sequence[Row]:
    """Append batches, given by topic, and return an answer for each."""
    return await connection.fetch(
        _APPEND.format(schema=schema),
        call.writer,
        call.number,
        int(call.patience * 1000),
        call.commit,
        *append_arguments(topics),
        call.channel,
        call.wait,
        call.since,
    )


async def page(connection: Connection, schema: str, topic: str, after: int, limit: int) -> Page | None:
    """Read a page; None if there is no such topic."""
    rows = await connection.fetch(_PAGE.format(schema=schema), topic.encode(), after, max(limit, 0))
    if not rows:
        return None
    first = rows[0]
    head = Head(first["epoch"], first["head"], first["head_tag"], first["first_seq"], first["closed"])
    return Page(head, tuple(entry_of(row) for row in rows if row["seq"] is not None))


async def entries_between(
    connection: Connection, schema: str, topic: str, epoch: str, first: int, last: int
) -> tuple[Entry, ...]:
    """Read what is retained of these entries."""
    rows = await connection.fetch(BETWEEN.format(schema=schema), topic.encode(), epoch, first, last)
    return tuple(map(entry_of, rows))


async def make(connection: Connection, schema: str, topic: str) -> bool:
    """Have the topic, if only now; False if another transaction is about to make it."""
    return bool(
        await connection.fetchval(f"SELECT {schema}.make($1, $2, false)", topic.encode(), new_epoch())
    )  # it was checked


async def forget_writers(connection: Connection, schema: str) -> None:
    """Forget writers of processes that are long gone."""
    await connection.execute(f"SELECT {schema}.forget_writers()")  # it was checked


async def topics(connection: Connection, schema: str) -> Sequence[str]:
    """Read the names of all topics."""
    rows = await connection.fetch(f"SELECT name FROM {schema}.topics")  # noqa: S608 # it was checked
    return [row["name"].decode() for row in rows]


async def trim(connection: Connection, schema: str, topic: str, retention: Retention) -> Trimmed:
    """Drop up to a chunk of what is over the bounds."""
    row = await connection.fetchrow(
        _TRIM.format(schema=schema),
        topic.encode(),
        CHUNK,
        _clamped(retention.max_events),
        retention.max_age,
        _clamped(retention.max_bytes),
        retention.key_age,
        retention.forget_after,
    )
    assert row is not None
    return Trimmed(row["gone"], row["more"], row["forgotten"], row["held"])


def _clamped(bound: int | None) -> int | None:
    return None if bound is None else min(bound, BIGGEST)


def entry_of(row: Row) -> Entry:
    """Return an entry."""
    return Entry(row["seq"], row["tag"], row["previous"], row["payload"], row["appended_at"])
