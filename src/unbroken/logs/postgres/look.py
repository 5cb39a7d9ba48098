"""What is new in watched topics: one query for all of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby

from unbroken.logs.contract import Entry
from unbroken.logs.postgres.cursor import ABSENT, Cursor
from unbroken.logs.postgres.driver import Connection, Row
from unbroken.logs.postgres.statements import entry_of

__all__ = ["News", "look"]

MAX_ENTRIES = 500
MAX_ROWS = 5000
MAX_BYTES = 4 * 1024 * 1024
"""What is handed over at once, at most: entries of one topic, entries beside the first of each, payload.
Who has fallen behind by more reads the log at his own pace."""

_LOOK = f"""
SELECT n, epoch, head, head_tag, closed, seq, tag, previous, appended_at,
    CASE WHEN bytes <= {MAX_BYTES} THEN payload END AS payload
FROM (
    SELECT w.n, t.epoch, t.seq AS head, t.tag AS head_tag, t.closed IS NOT NULL AS closed,
        e.seq, e.tag, e.previous, e.appended_at, e.payload,
        sum(octet_length(e.payload)) OVER (ORDER BY w.n, e.seq) AS bytes,
        row_number() OVER (ORDER BY w.n, e.seq) AS nth, row_number() OVER (PARTITION BY w.n ORDER BY e.seq) AS nth_there
    FROM unnest($1::bytea[], $2::text[], $3::bigint[], $4::text[], $5::boolean[]) WITH ORDINALITY
        AS w(name, epoch, seq, tag, closed, n)
    LEFT JOIN {{schema}}.topics AS t ON t.name = w.name
    LEFT JOIN LATERAL (
        SELECT * FROM {{schema}}.entries
        WHERE topic = t.id AND seq > greatest(w.seq, t.first_seq - 1) ORDER BY seq LIMIT {MAX_ENTRIES}
    ) AS e ON true
    WHERE (w.epoch, w.seq, w.tag, w.closed) IS DISTINCT FROM
        (coalesce(t.epoch, ''), coalesce(t.seq, 0), coalesce(t.tag, ''), t.closed IS NOT NULL)
) AS found WHERE nth_there = 1 OR (nth <= {MAX_ROWS} AND bytes <= {MAX_BYTES}) ORDER BY n, seq
"""  # noqa: S608 # constants


@dataclass(frozen=True, slots=True)
class News:
    """What was found of a topic."""

    end: Cursor
    entries: tuple[Entry, ...]
    complete: bool
    """None was left out for its size. There may be more all the same: then the last is not the end."""


async def look(connection: Connection, schema: str, cursors: Mapping[str, Cursor]) -> dict[str, News]:
    """Return what is new since these cursors, of the topics of which something is."""
    names, ends = list(cursors), list(cursors.values())
    rows = await connection.fetch(
        _LOOK.format(schema=schema),
        [name.encode() for name in names],
        [end.epoch for end in ends],
        [end.seq for end in ends],
        [end.tag for end in ends],
        [end.closed for end in ends],
    )
    return {names[number - 1]: _news(tuple(some)) for number, some in groupby(rows, lambda row: int(row["n"]))}


def _news(rows: Sequence[Row]) -> News:
    first = rows[0]
    if first["epoch"] is None:
        return News(ABSENT, (), complete=True)
    end = Cursor(first["epoch"], first["head"], first["head_tag"], first["closed"])
    found = [row for row in rows if row["seq"] is not None]
    entries = tuple(entry_of(row) for row in found if row["payload"] is not None)
    return News(end, entries, complete=len(entries) == len(found))
