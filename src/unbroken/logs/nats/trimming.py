"""Dropping what is over the bounds of a retention, in steps between which others append."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from contextlib import aclosing
from dataclasses import dataclass, replace

from unbroken.logs.contract import Retention
from unbroken.logs.nats.heads import Known
from unbroken.logs.nats.jetstream import Refused
from unbroken.logs.nats.plan import messages_of
from unbroken.logs.nats.reading import BEHIND_INTERVAL, RECORDS, Behind
from unbroken.logs.nats.record import FORGET, TRIM, Line, Record, State
from unbroken.logs.nats.writer import Desk
from unbroken.logs.overflow import count_over

__all__ = ["Trimmed", "Trimmer"]

CHUNK = 2000
"""Entries that go in one step, about: their records are read, to know how old and large they are."""


@dataclass(frozen=True, slots=True)
class Trimmed:
    """What one step did."""

    gone: int = 0
    more: bool = False
    forgotten: bool = False


@dataclass(frozen=True, slots=True)
class _Cut:
    """What goes from `first` on: so many entries, their bytes; and the place before which no record is needed then."""

    epoch: str
    first: int
    gone: int = 0
    freed: int = 0
    before: int = 0
    more: bool = False

    def fits(self, state: State) -> bool:
        """Say whether it holds for this state, too: more may have been appended, but nothing was trimmed."""
        return (self.epoch, self.first) == (state.epoch, state.first)


class Trimmer:
    """Trims one topic. A step is not made beside an append of this process; of other processes it notices."""

    def __init__(self, topic: str, retention: Retention, desk: Desk) -> None:
        self._topic = topic
        self._retention = retention
        self._desk = desk
        self._cut: _Cut | None = None
        """What was counted, and could not be written: another process was faster."""
        self._keys_since: float | None = None
        """None of the keys that are left was stored earlier; None: old keys were not dropped yet."""
        self._patience = _now() + desk.place.timeout

    async def step(self) -> Trimmed:
        """Drop some; nothing, where another process was faster, so that those who wait have their turn.

        Raises:
            LogUnavailable: it cannot be done now, or others were faster for as long as `timeout`.
        """
        known, now = await self._desk.reader.known(self._topic), time.time()
        if known.state is None:
            await self._purge(known.place + 1 if known.place else 0)
            return Trimmed()
        if self._cut is None or not self._cut.fits(known.state):
            try:
                self._cut = await self._count(known, known.state, now)
            except Behind:
                return await self._later(BEHIND_INTERVAL)
        return await self._do(known, known.state, self._cut, now)

    async def _do(self, known: Known, state: State, cut: _Cut, now: float) -> Trimmed:
        after = await self._without_old_keys(known, self._after(state, cut, now), now)
        if self._is_over(after, now):
            if await self._forget(known, after):
                return Trimmed(cut.gone, forgotten=True)
        elif after == state or await self._keep(known, after, cut):
            self._cut, self._keys_since = None, None
            self._patience = _now() + self._desk.place.timeout
            return Trimmed(cut.gone, cut.more)
        return await self._later(0)

    async def _later(self, delay: float) -> Trimmed:
        if _now() > self._patience:
            what = f"topic {self._topic!r} was not trimmed: other processes append to it without a pause"
            raise self._desk.place.unavailable(what)
        await asyncio.sleep(delay)
        return Trimmed(more=True)

    async def _count(self, known: Known, state: State, now: float) -> _Cut:
        """Count what goes, from the oldest on, reading no further than that."""
        cut = _Cut(state.epoch, state.first)
        if not state.kept or not self._may_be_over(state):
            return cut
        async with aclosing(self._desk.reader.records(self._topic, known, state.first - 1, 1)) as records:
            async for record in records:
                if record.before >= state.first + cut.gone:
                    beyond = await self._beyond(known, state, record.before + 1, now)
                    return replace(beyond, before=max(cut.before, beyond.before))
                lines = record.lines[state.first + cut.gone - 1 - record.before :]
                cut = self._further(cut, state, record, lines, now)
                if cut.before <= record.place:
                    return cut
                if cut.gone >= CHUNK:
                    return replace(cut, more=True)
        # With no record at all there is nothing left of what the head tells of.
        return cut if cut.gone else replace(cut, gone=state.kept, freed=state.size)

    def _further(self, cut: _Cut, state: State, record: Record, lines: Sequence[Line], now: float) -> _Cut:
        """Add what goes of one record more."""
        oldest = ((line.appended_at, line.size) for line in lines)
        gone, freed = count_over(oldest, state.kept - cut.gone, state.size - cut.freed, self._retention, now)
        before = record.place + 1 if gone == len(lines) else cut.before
        return replace(cut, gone=cut.gone + gone, freed=cut.freed + freed, before=before)

    async def _beyond(self, known: Known, state: State, first: int, now: float) -> _Cut:
        """Count what goes behind a hole, which somebody's purge has left: its bytes are not known, but those behind."""
        size = 0
        async with aclosing(self._desk.reader.records(self._topic, known, first - 1, RECORDS)) as records:
            async for record in records:
                size += sum(line.size for line in record.lines)
        cut = await self._count(known, replace(state, first=first, size=size), now)
        lost = first - state.first
        return replace(cut, first=state.first, gone=cut.gone + lost, freed=cut.freed + state.size - size)

    def _may_be_over(self, state: State) -> bool:
        bounds = self._retention
        return (
            bounds.max_age is not None
            or (bounds.max_events is not None and state.kept > bounds.max_events)
            or (bounds.max_bytes is not None and state.size > bounds.max_bytes)
        )

    def _after(self, state: State, cut: _Cut, now: float) -> State:
        if not cut.gone:
            return state
        empty = cut.gone == state.kept
        size, idle_since = (0, now) if empty else (state.size - cut.freed, state.idle_since)
        return replace(state, first=state.first + cut.gone, size=size, idle_since=idle_since)

    async def _without_old_keys(self, known: Known, state: State, now: float) -> State:
        before = now - self._retention.key_age
        if any(use.at < before for use in state.keys):
            state = replace(state, keys=tuple(use for use in state.keys if use.at >= before))
        if state.stored_keys_since is not None and state.stored_keys_since < before:
            if self._keys_since is None:
                since = await self._purge_keys(known, before)
                self._keys_since = before if since is None else since
            else:
                since = self._keys_since  # more may have been stored meanwhile, but none that is older
            state = replace(state, stored_keys_since=since)
        return state

    async def _purge_keys(self, known: Known, before: float) -> float | None:
        """Drop the keys that were stored before, with one purge, for they stand in this order.

        Returns since when those are there that are left.
        """
        jetstream = await self._desk.link.jetstream()
        keys = self._desk.subjects.keys(self._topic)
        oldest = await jetstream.next_since(keys, before)
        # With none that is younger, those go that were there when the head was: not one that came since.
        await jetstream.purge(keys, known.place if oldest is None else oldest.place)
        return None if oldest is None else oldest.time

    def _is_over(self, state: State, now: float) -> bool:
        age = self._retention.forget_after
        if age is None or state.kept or state.is_keyed:
            return False
        return state.idle_since < now - age

    async def _keep(self, known: Known, state: State, cut: _Cut) -> bool:
        """Write what is retained now, then drop what is not."""
        record = Record(state=state, kind=TRIM)
        try:
            stored = await self._write(known, record)
        except Refused:
            # A full store takes not even that. What goes is over the bounds whoever appends meanwhile, and readers
            # that do not find it pass it over; but the head stays, for it is all that is known of the topic.
            await self._purge(min(cut.before, known.place))
            stored = await self._write(known, record)
        if stored is None:
            return False
        await self._purge(cut.before if state.kept else stored.place)
        return True

    async def _forget(self, known: Known, state: State) -> bool:
        """Write that there is no topic any more, and then drop that as well.

        A purge cannot be told what to expect. Behind such a record others begin a new topic, which the purge leaves.
        """
        stored = await self._write(known, Record(state=state, kind=FORGET))
        if stored is None:
            return False
        await self._purge(stored.place + 1)
        self._desk.heads.drop(self._topic)
        return True

    async def _write(self, known: Known, record: Record) -> Known | None:
        writes = messages_of(self._desk.subjects, self._topic, known, record)
        return await self._desk.store(self._topic, known, record, writes)

    async def _purge(self, before: int) -> None:
        if not before:
            return
        jetstream, subjects = await self._desk.link.jetstream(), self._desk.subjects
        await jetstream.purge(subjects.topic(self._topic), before)
        await jetstream.purge(subjects.part(self._topic), before)


def _now() -> float:
    return asyncio.get_running_loop().time()
