"""What becomes of a group of appends, if it follows on a head: one record, and who is told what."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from unbroken.errors import Fenced, TopicClosed
from unbroken.logs.batch import check_state, link, new_epoch
from unbroken.logs.contract import Appended, Draft, Entry
from unbroken.logs.nats.heads import Known
from unbroken.logs.nats.jetstream import Write
from unbroken.logs.nats.record import Line, Record, State, Use, digest_of
from unbroken.logs.nats.subjects import Subjects

__all__ = ["MAX_ENTRY_LINE", "OVERHEAD_BYTES", "Job", "Plan", "messages_of"]

INLINE_BYTES = 64 * 1024
"""Payload up to which a record has it itself: heads are read often."""

RECENT_KEYS = 16
"""Keys that the state itself remembers. Messages of their own have to be stored together with the record, and such a
batch takes a server ten times as long as one message: so it is made for every eighth key."""

PART_BYTES = 512 * 1024
OVERHEAD_BYTES = 4096
"""For subject and headers, in what the server takes in one message."""

MAX_ENTRY_LINE = 64
"""Bytes that an entry takes in its record besides its payload, at most."""


@dataclass(frozen=True, slots=True)
class Job:
    """An append that waits, and who waits for it. Without drafts and close it makes the topic."""

    drafts: Sequence[Draft]
    key: str | None
    fence: int | None
    close: bool
    deadline: float
    """By the loop's clock; nothing is sent for it after that."""
    future: asyncio.Future[Appended]

    @property
    def size(self) -> int:
        """Bytes of payload."""
        return sum(len(draft.payload) for draft in self.drafts)

    def answer(self, result: Appended | Exception) -> None:
        """Tell who waits, unless it has gone."""
        if self.future.done():
            return
        if isinstance(result, Exception):
            self.future.set_exception(result)
        else:
            self.future.set_result(result)


@dataclass(slots=True)
class Plan:
    """The outcome of jobs one after the other, behind `known`."""

    topic: str
    known: Known
    now: float
    looked_up: Mapping[str, Use]
    """Uses of keys that have messages of their own, by digest; looked up when `known` was the head already."""
    state: State = field(init=False)
    entries: list[Entry] = field(default_factory=list)
    uses: dict[str, Use] = field(default_factory=dict)
    """Of the keys that are used now, by digest."""
    stored: list[Use] = field(default_factory=list)
    """Of keys that get messages of their own now."""
    results: list[tuple[Job, Appended | Exception]] = field(default_factory=list)
    duplicates: list[tuple[Job, Use]] = field(default_factory=list)
    """Of keys that were used before: their entries are to be read."""
    changes: bool = False
    """There is something to write."""

    def __post_init__(self) -> None:
        known = self.known.state
        self.state = State(epoch=new_epoch(), idle_since=self.now) if known is None else known
        self.changes = known is None

    def add(self, job: Job) -> None:
        """Do a job."""
        if job.key is not None and self._repeat(job, digest_of(job.key)):
            return
        try:
            if job.drafts or job.close:
                check_state(self.topic, self.state.closed, self.state.fence, job.fence)
        except (TopicClosed, Fenced) as error:
            self.results.append((job, error))
        else:
            self._append(job)

    def finish(self) -> None:
        """Put the uses of keys where they belong: so many in the state, and the older ones into messages."""
        recent = (*self.state.keys, *self.uses.values())
        if len(recent) > RECENT_KEYS:
            kept = recent[-(RECENT_KEYS // 2) :] if len(self.uses) < RECENT_KEYS else ()
            self.stored = list(recent[: len(recent) - len(kept)])
            since = self.state.stored_keys_since
            self.state = replace(self.state, keys=kept, stored_keys_since=self.now if since is None else since)
        elif self.uses:
            self.state = replace(self.state, keys=recent)

    def _repeat(self, job: Job, digest: str) -> bool:
        """Answer a job whose key was used."""
        if (use := self.uses.get(digest)) is not None:
            again = tuple(entry for entry in self.entries if use.first <= entry.seq <= use.seq)
            self.results.append((job, Appended(use.epoch, again, use.position, duplicate=True)))
            return True
        recent = next((use for use in self.state.keys if use.digest == digest), None)
        use = recent or self.looked_up.get(digest)
        if use is None or use.epoch != self.state.epoch:
            return False
        self.duplicates.append((job, use))
        return True

    def _append(self, job: Job) -> None:
        if not job.drafts and not job.close:
            self.results.append((job, Appended(self.state.epoch, (), self.state.position)))
            return
        state, entries = self.state, link(job.drafts, self.state.seq, self.state.tag, self.now)
        self.entries += entries
        self.state = state = replace(
            state,
            seq=state.seq + len(entries),
            tag=entries[-1].tag if entries else state.tag,
            size=state.size + job.size,
            closed=job.close,
            fence=state.fence if job.fence is None else job.fence,
            idle_since=self.now,
        )
        if job.key is not None:
            first, digest = state.seq - len(entries) + 1, digest_of(job.key)
            self.uses[digest] = Use(digest, state.epoch, first, state.seq, state.tag, self.now)
        self.results.append((job, Appended(state.epoch, entries, state.position)))
        self.changes = True

    def record(self, max_payload: int) -> tuple[Record, list[bytes]]:
        """Return the record, and the parts that come before it."""
        lines = tuple(Line(entry.tag, len(entry.payload), entry.appended_at) for entry in self.entries)
        payloads = b"".join(entry.payload for entry in self.entries)
        previous = self.entries[0].previous if self.entries else ""
        # Keys in the state are within the overhead, lines are not: a batch may have thousands.
        if len(payloads) <= min(INLINE_BYTES, max_payload - OVERHEAD_BYTES - MAX_ENTRY_LINE * len(lines)):
            return Record(state=self.state, previous=previous, lines=lines, payloads=payloads), []
        size = min(PART_BYTES, max_payload - OVERHEAD_BYTES)
        parts = [payloads[start : start + size] for start in range(0, len(payloads), size)]
        self.state = replace(self.state, parted=True)
        return Record(state=self.state, previous=previous, lines=lines, parts=len(parts)), parts

    def writes(self, subjects: Subjects, record: Record, parts: Sequence[bytes]) -> list[Write]:
        """Return the messages that are stored together; the record is the last."""
        keys = [Write(subjects.key(self.topic, use.digest), use.encode()) for use in self.stored]
        return [*keys, *messages_of(subjects, self.topic, self.known, record, parts)]


def messages_of(
    subjects: Subjects, topic: str, known: Known, record: Record, parts: Sequence[bytes] = ()
) -> list[Write]:
    """Return a record that follows on a head, with its parts before it."""
    before = [Write(subjects.part(topic), part) for part in parts]
    return [*before, Write(subjects.topic(topic), record.encode(), known.place)]
