"""Dropping what is over the bounds of a retention, in steps between which others append."""

from __future__ import annotations

import asyncio
import time
from contextlib import aclosing
from dataclasses import dataclass, replace

from unbroken.logs.contract import Retention
from unbroken.logs.nats.heads import Known
from unbroken.logs.nats.jetstream import Refused
from unbroken.logs.nats.plan import messages_of
from unbroken.logs.nats.reading import BEHIND_INTERVAL, Behind
from unbroken.logs.nats.record import FORGET, TRIM, Record, State
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
    """What goes: so many entries, their bytes; and the place before which no record is needed any more."""

    gone: int = 0
    freed: int = 0
    before: int = 0
    more: bool = False


class Trimmer:
    """Trims one topic. A step is not made beside an append of this process; of other processes it notices."""

    def __init__(self, topic: str, retention: Retention, desk: Desk) -> None:
        self._topic = topic
        self._retention = retention
        self._desk = desk

    async def step(self) -> Trimmed:
        """Drop some.

        Raises:
            LogUnavailable: it cannot be done now.
        """
        while True:
            known, now = await self._desk.reader.known(self._topic), time.time()
            if known.state is None:
                await self._purge(known.place + 1 if known.place else 0)
                return Trimmed()
            try:
                cut = await self._count(known, known.state, now)
            except Behind:
                await asyncio.sleep(BEHIND_INTERVAL)
                continue
            state = await self._without_old_keys(known, self._after(known.state, cut, now), now)
            if self._is_over(state, now):
                if await self._forget(known, state):
                    return Trimmed(cut.gone, forgotten=True)
            elif state == known.state or await self._keep(known, state, cut):
                return Trimmed(cut.gone, cut.more)

    async def _count(self, known: Known, state: State, now: float) -> _Cut:
        """Count what goes, from the oldest on, reading no further than that."""
        if not state.kept or not self._may_be_over(state):
            return _Cut()
        oldest, cut, lost = list[tuple[float, int]](), _Cut(), 0
        async with aclosing(self._desk.reader.records(self._topic, known, state.first - 1, 1)) as records:
            async for record in records:
                if not oldest:
                    lost = max(0, record.before + 1 - state.first)
                skipped = max(0, state.first - 1 - record.before)
                oldest += [(line.appended_at, line.size) for line in record.lines[skipped:]]
                gone, freed = count_over(oldest, state.kept - lost, state.size, self._retention, now)
                whole = gone == len(oldest)
                cut = _Cut(gone + lost, freed, record.place + 1 if whole else max(cut.before, 0))
                if not whole:
                    return cut
                if len(oldest) >= CHUNK:
                    return replace(cut, more=True)
        return cut

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
            since = await self._purge_keys(known, before)
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
