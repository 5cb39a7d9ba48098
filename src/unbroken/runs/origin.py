"""Where a run comes from, as its own topic tells it: for when its process died before it told the index."""

from __future__ import annotations

import secrets
import time
from dataclasses import replace

from unbroken.runs.desk import Desk
from unbroken.runs.events import read_end, read_start, start_payload
from unbroken.runs.names import DATA
from unbroken.runs.record import Record, RunStatus

__all__ = ["as_ended", "elect", "new_fence", "origin_of", "recover", "start_key"]

PAGE_ENTRIES = 256

RANDOM_BITS = 20

_ORIGIN = (
    *("process", "fence", "owner", "group", "on_orphan", "max_attempts", "watched", "producer", "plan", "ttl"),
    "started_at",
)


def new_fence(after: int = 0) -> int:
    """Return a fence for the first election of a run, or for the next one after another.

    The attempt would not do. It begins at 1 again when an id is used again: so the first is a time in milliseconds, in
    which lives of an id are far apart, and each attempt is one more. And two may win one attempt, where the log has
    forgotten the first one's key: so there is chance in the lower bits.

    It is not the time in each of them: who knows an old attempt alone shall not be above the one that is running.
    """
    turn = (after >> RANDOM_BITS) + 1 if after else time.time_ns() // 1_000_000
    return turn << RANDOM_BITS | secrets.randbits(RANDOM_BITS)


def start_key(attempt: int) -> str:
    """Return the key by which one process alone gets an attempt."""
    return f"attempt:{attempt}"


def origin_of(record: Record) -> dict[str, object]:
    """Return what a run's own topic says of it, for the case that its process died before it told the index."""
    return {name: getattr(record, name) for name in _ORIGIN}


async def elect(desk: Desk, record: Record) -> Record | None:
    """Try to get an attempt, and return its record; None if another one has it.

    Raises:
        TopicClosed, Fenced: the run is further than that.
        LogUnavailable: it cannot be said who has it.
    """
    payload = start_payload(record.run, record.attempt, origin_of(record))
    appended = await desk.append(
        DATA + record.run, [payload], key=start_key(record.attempt), fence=record.fence, ttl=record.ttl
    )
    # We may find our own start there, told by its fence: its acknowledgement was lost, and it was tried again.
    is_ours = not appended.duplicate or payload in [entry.payload for entry in appended.entries]
    return replace(record, epoch=appended.epoch) if is_ours else None


async def recover(desk: Desk, run: str) -> Record | None:
    """Return a run as its own topic tells of it, from its last attempt on; None if it tells of none.

    Raises:
        LogUnavailable: it cannot be read now.
    """
    topic = DATA + run
    head = await desk.log.head(topic)
    seq, said = head.seq, None
    after = head.first_seq - 1
    while after < seq:
        page = await desk.log.read(topic, after, PAGE_ENTRIES)
        starts = (read_start(entry.payload) for entry in page.entries)
        said = next((start for start in reversed(list(starts)) if start is not None), said)
        after = page.entries[-1].seq if page.entries else seq
    if said is None:
        return None
    known = {name: said[name] for name in (*_ORIGIN, "attempt") if name in said}
    record = Record(run=run, epoch=head.epoch, **known)
    if not head.closed:
        return record
    return await as_ended(desk, record)


async def as_ended(desk: Desk, record: Record) -> Record:
    """Return a run whose topic is closed, with how and when it ended.

    Raises:
        LogUnavailable: that cannot be read now.
    """
    last = await desk.last(DATA + record.run)
    status = None if last is None else read_end(last.payload)
    at = time.time() if last is None else last.appended_at
    return replace(record, status=status or RunStatus.LOST, ended_at=at)
