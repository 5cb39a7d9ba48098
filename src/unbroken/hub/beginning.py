"""Where a reader begins: behind the cursor it brought, or where the route says."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from unbroken.errors import ConfigurationError
from unbroken.hub.cursor import Digest, read_cursor
from unbroken.hub.gap import Gap, GapReason
from unbroken.hub.numbering import Item, Vector
from unbroken.hub.reader import Reader
from unbroken.logs import Position

__all__ = ["Beginning", "Resume", "begin", "beginning"]

Cursor = Position | Mapping[Digest, Position]


@dataclass(frozen=True, slots=True)
class Beginning:
    """Where to begin.

    Attributes:
        cursor: Behind this one; None without.
        unreadable: A cursor was brought which says nothing.
        backlog: Without a cursor that can be read, so many events before the end; None for all there are.
    """

    cursor: Cursor | None = None
    unreadable: bool = False
    backlog: int | None = 0


NOW = Beginning()
"""Most responses begin so, and thousands may be open: they share it."""


@dataclass(frozen=True, slots=True)
class Resume:
    """What came of it.

    Attributes:
        items: What is to be delivered first.
        vector: Where the reader was before them; None where it was not where it said, and so has still to be told.
        header: For the response: what native `EventSource` cannot see and others can.
        is_over: It has all there is, and nothing more will come.
    """

    items: Sequence[Item]
    vector: Vector | None
    header: str
    is_over: bool = False


def beginning(after: object, backlog: int, key: bytes) -> Beginning:
    """Return where a reader begins that brings no cursor of its own.

    Raises:
        ConfigurationError: `after` is none of the values it can have.
    """
    if after is None or after == "latest":
        return Beginning(backlog=backlog) if backlog else NOW
    if after == "earliest":
        return Beginning(backlog=None)
    if isinstance(after, Position):
        return Beginning(cursor=after)
    cursor = read_cursor(after, key) if isinstance(after, str) else None
    if cursor is None:
        raise ConfigurationError(
            f"after={str(after)[:80]!r} is no position: give what publish() or position() returned, or an event's id, "
            "or 'earliest' or 'latest'"
        )
    return Beginning(cursor=cursor)


async def begin(reader: Reader, start: Beginning) -> Resume:
    """Set `reader` to its beginning, and read on once where it resumes.

    Raises:
        LogUnavailable: the log cannot be read now.
    """
    if start.unreadable:
        if start.backlog != 0:
            await reader.begin_with_newest(start.backlog)
        gaps = reader.count([Gap(GapReason.UNREADABLE, topic.name, None, None, None) for topic in reader.topics])
        return Resume(gaps, None, _header(gaps[0]))
    if start.cursor is not None:
        return await _resume(reader, start.cursor)
    if start.backlog != 0:
        await reader.begin_with_newest(start.backlog)
    return Resume((), reader.vector, "none")


async def _resume(reader: Reader, cursor: Cursor) -> Resume:
    gaps = reader.resume(cursor)
    vector = reader.vector
    items = gaps or await reader.read()
    found = next((item for item in items if isinstance(item, Gap)), None)
    gap = found or (await reader.gap_ahead() if len(reader.topics) > 1 else None)
    is_over = not items and reader.is_over()
    return Resume(items, vector if found is None else None, _header(gap), is_over)


def _header(gap: Gap | None) -> str:
    if gap is None:
        return "complete"
    return f"gap; reason={gap.reason}" + ("" if gap.missed is None else f"; missed={gap.missed}")
