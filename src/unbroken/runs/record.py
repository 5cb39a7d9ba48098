"""What is known of a run in every process: the entries of the index, and what they add up to."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, fields
from enum import StrEnum
from typing import Any, Literal

from unbroken.runs.names import SYSTEM, Owner, digest_of

__all__ = ["OnOrphan", "Record", "RunInfo", "RunStatus", "read_index", "write_index"]

OnOrphan = Literal["fail", "restart"]


class RunStatus(StrEnum):
    """How a run stands. It ends exactly once, with one of all but the first."""

    RUNNING = "running"
    DONE = "done"
    """Its producer has finished."""
    ERROR = "error"
    """Its producer raised, or sent more than it may."""
    CANCELLED = "cancelled"
    """It was asked to stop, or nobody watched it any more."""
    TIMEOUT = "timeout"
    """It took longer than its `timeout`."""
    INTERRUPTED = "interrupted"
    """Its process was shut down."""
    LOST = "lost"
    """Its process died."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunInfo:
    """What can be said of a run to whoever may read it."""

    id: str
    status: RunStatus
    group: str | None
    attempt: int
    """1, and more after its process was lost and another one began anew."""
    started_at: float
    """Seconds since the Unix epoch; of the first attempt."""
    ended_at: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """A run, as the index tells of it.

    Attributes:
        run: Its id.
        epoch: Of its topic: an id may be used again when all of its run is gone.
        attempt: Counts the processes that had it.
        process: The one that has it.
        fence: Of the election that it won. Each has its own, above all before it in any life of the id.
        owner: A digest; empty for none.
        group: Empty for none.
        watched: Readers are counted, since it ends when nobody watches.
        producer: The name by which another process can start it again; empty if none can.
        plan: Names what is to be done then; empty if nothing is.
        ttl: Seconds for which it is kept after its last event.
        seq: Of the entry in the index that began it: who comes first in a group, or of an owner.
    """

    run: str
    epoch: str
    attempt: int
    process: str
    fence: int
    owner: str
    group: str
    on_orphan: OnOrphan
    max_attempts: int
    watched: bool
    producer: str
    plan: str
    ttl: float
    started_at: float
    status: RunStatus = RunStatus.RUNNING
    ended_at: float | None = None
    cancelled: bool = False
    seq: int = 0

    @property
    def is_running(self) -> bool:
        """Whether it has not ended."""
        return self.status is RunStatus.RUNNING

    def is_attempt(self, other: Record) -> bool:
        """Whether the run is where the other record has it: nobody has taken it over, and it is running."""
        return (self.epoch, self.fence) == (other.epoch, other.fence) and self.is_running

    def is_as_far_as(self, other: Record) -> bool:
        """Whether nothing is new in the other record of the run."""
        return self.epoch == other.epoch and self.fence >= other.fence and (other.is_running or not self.is_running)

    @property
    def info(self) -> RunInfo:
        """What is told of it."""
        return RunInfo(
            id=self.run,
            status=self.status,
            group=self.group or None,
            attempt=self.attempt,
            started_at=self.started_at,
            ended_at=self.ended_at,
        )

    def is_open_to(self, reader: Owner) -> bool:
        """Whether somebody may read and cancel it."""
        return not self.owner or self.belongs_to(reader)

    def belongs_to(self, reader: Owner) -> bool:
        """Whether it is somebody's own; all are the application's."""
        return reader is SYSTEM or self.owner == digest_of(reader)


_FIELDS = tuple(field.name for field in fields(Record) if field.name not in ("cancelled", "seq"))


def write_index(record: Record) -> bytes:
    """Return the index's entry of a run's start, or of its end: each says all, so that the earlier ones may go."""
    said = asdict(record)
    return json.dumps({name: said[name] for name in _FIELDS}, separators=(",", ":")).encode()


def read_index(payload: bytes) -> dict[str, Any]:
    """Return what an entry of the index says."""
    said: dict[str, Any] = json.loads(payload)
    return said


def record_of(said: dict[str, Any], seq: int) -> Record:
    """Return the record that an entry of a start or an end holds. Fields of a later version are passed over."""
    known = {name: said[name] for name in _FIELDS if name in said}
    return Record(**{**known, "status": RunStatus(said["status"]), "seq": seq})
