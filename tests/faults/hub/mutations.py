"""The hub with a part of it broken: so is it seen that the fuzz would find that."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any

import unbroken.hub.reader
import unbroken.hub.topic
from unbroken.hub.event import Event
from unbroken.hub.feed import Feed
from unbroken.hub.gap import Gap, GapReason, find_gap
from unbroken.hub.reader import Reader
from unbroken.hub.topic import Topic
from unbroken.logs import Appended, Draft, Entry, Page, Position
from unbroken.logs.batch import link

from .witness import WitnessLog

__all__ = ["MUTATIONS"]


def ignore_links() -> None:
    """Count only, and look at no tag: neither of a page, nor of what the log tells, nor of what is at hand."""

    def counting(topic: str, position: Position, page: Page) -> Gap | None:
        gap = find_gap(topic, position, page)
        return None if gap is not None and gap.reason is GapReason.FORK else gap

    def is_next(topic: Topic, epoch: str, entry: Entry) -> bool:
        return epoch == topic.position.epoch and entry.seq == topic.position.seq + 1

    def since(topic: Topic, position: Position, limit: int) -> Sequence[Event] | None:
        if (position.epoch, position.seq) == (topic.position.epoch, topic.position.seq):
            return ()
        return _since(topic, _retagged(topic, position), limit)

    def is_current(reader: Reader) -> bool:
        pairs = zip(reader.topics, reader.vector, strict=True)
        return all((topic.position.epoch, topic.position.seq) == (at.epoch, at.seq) for topic, at in pairs)

    _since = Topic.since
    Reader.is_current = is_current  # type: ignore[method-assign, assignment]
    unbroken.hub.reader.find_gap = unbroken.hub.topic.find_gap = counting  # type: ignore[attr-defined]
    Topic._is_next = is_next  # type: ignore[method-assign, assignment]
    Topic.since = since  # type: ignore[method-assign, assignment]


def _retagged(topic: Topic, position: Position) -> Position:
    """Return the position with the tag that would let it pass."""
    following = next((event for event in topic._ring if event.position.seq == position.seq + 1), None)
    return position if following is None else Position(position.epoch, position.seq, following.previous)


def drop_events() -> None:
    """Lose one of two hundred events on its way into a flush."""
    count = 0

    def on_events(feed: Feed, topic: Topic, events: Sequence[Event]) -> None:
        nonlocal count
        count += 1
        _on_events(feed, topic, events[1:] if count % 200 == 0 else events)

    _on_events = Feed.on_events
    Feed.on_events = on_events  # type: ignore[method-assign, assignment]


def make_appends_up() -> None:
    """Acknowledge one of twenty appends that was never made."""
    count = 0

    async def append(log: WitnessLog, topic: str, drafts: Sequence[Draft], **more: Any) -> Appended:
        nonlocal count
        count += 1
        if count % 20 or topic.startswith("$"):
            return await _append(log, topic, drafts, **more)
        head = await log.inner.head(topic)
        entries = link(drafts, head.seq, head.tag, time.time())
        log._write_down(topic, head.epoch, entries)
        return Appended(head.epoch, entries, Position(head.epoch, entries[-1].seq, entries[-1].tag))

    _append = WitnessLog.append
    WitnessLog.append = append  # type: ignore[method-assign, assignment]


MUTATIONS: dict[str, Callable[[], None]] = {"links": ignore_links, "feed": drop_events, "appends": make_appends_up}
