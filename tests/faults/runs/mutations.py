"""Runs with a part of them broken: so is it seen that the judge would find that."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Any
from uuid import uuid4

import unbroken.runs.origin
import unbroken.runs.orphans
from unbroken.hub.event import Event
from unbroken.hub.feed import Feed
from unbroken.hub.topic import Topic
from unbroken.logs import Appended
from unbroken.runs.desk import Desk
from unbroken.runs.names import DATA
from unbroken.runs.works import Works
from unbroken.runs.writer import Writer

__all__ = ["MUTATIONS"]


def drop_events() -> None:
    """Lose one of thirty events on its way to the readers."""
    count = 0

    def on_events(feed: Feed, topic: Topic, events: Sequence[Event]) -> None:
        nonlocal count
        count += topic.name.startswith(DATA)
        _on_events(feed, topic, events[1:] if count % 30 == 29 else events)

    _on_events = Feed.on_events
    Feed.on_events = on_events  # type: ignore[method-assign, assignment]


def make_acknowledgements_up() -> None:
    """Say of one of thirty appends that it was made."""
    count = 0

    async def put(writer: Writer, payloads: Sequence[bytes], *, close: bool = False) -> int:
        nonlocal count
        count += 1
        return await _put(writer, payloads, close=close) if close or count % 30 else 1

    _put = Writer._put
    Writer._put = put  # type: ignore[method-assign, assignment]


def end_twice() -> None:
    """Append the last event by itself, and once more with the close."""

    async def close(writer: Writer, payload: bytes) -> None:
        await writer.flush()
        await writer._put([payload])
        await _close(writer, payload)

    _close = Writer.close
    Writer.close = close  # type: ignore[method-assign, assignment]


def ignore_fences() -> None:
    """Append without one."""

    async def append(desk: Desk, topic: str, payloads: Sequence[bytes], **more: Any) -> Appended:
        return await _append(desk, topic, payloads, **{**more, "fence": None})

    _append = Desk.append
    Desk.append = append  # type: ignore[method-assign, assignment]


def elect_nobody() -> None:
    """Give whoever asks an attempt, if others have it or not."""

    def start_key(attempt: int) -> str:
        return f"attempt:{attempt}:{uuid4()}"

    unbroken.runs.origin.start_key = start_key
    unbroken.runs.orphans.start_key = start_key  # type: ignore[attr-defined]


def take_nothing_over() -> None:
    """Leave orphans alone."""

    async def sweep(_: Works) -> None:
        await asyncio.Event().wait()

    Works._sweep = sweep  # type: ignore[method-assign, assignment]


MUTATIONS: dict[str, Callable[[], None]] = {
    "feed": drop_events,
    "acknowledgements": make_acknowledgements_up,
    "ends": end_twice,
    "fences": ignore_fences,
    "election": elect_nobody,
    "sweep": take_nothing_over,
}
