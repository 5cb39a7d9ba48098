"""A reader that was away for longer than its topic remembers is told what it has missed."""

from __future__ import annotations

import random
from collections.abc import Iterator

import httpx2
import pytest

from unbroken.client import Gap
from unbroken.errors import StreamGap

from .feed import Feeds, Plan, serving, text
from .reading import READERS, Read, Reading

TOTAL = 100
SEEN = 7
KEPT = [text(number) for number in range(TOTAL - 9, TOTAL + 1)]


@pytest.fixture(scope="module")
def feeds() -> Iterator[tuple[Feeds, int]]:
    """Run one server for all that is read here."""
    feeds = Feeds()
    with serving(feeds) as port:
        yield feeds, port


def come_back(feeds: tuple[Feeds, int], read: Read, gaps: str) -> Reading:
    """Read some events of a topic, let it forget them and more, and read on."""
    app, port = feeds
    path = app.add("hub", Plan(total=TOTAL, rng=random.Random()))
    url = f"http://127.0.0.1:{port}"
    first = read(f"{url}{path}")
    assert httpx2.get(f"{url}/trim{path}").json() == TOTAL - 10
    return read(f"{url}{path}", last_event_id=first.events[SEEN - 1].last_event_id, gaps=gaps)


@pytest.mark.parametrize("read", READERS.values(), ids=READERS)
def test_the_gap_is_raised(feeds: tuple[Feeds, int], read: Read) -> None:
    """By default, before what comes behind it."""
    reading = come_back(feeds, read, "raise")
    assert isinstance(reading.error, StreamGap)
    assert isinstance(reading.error.gap, Gap)
    assert (reading.error.gap.missed, reading.error.gap.reason) == (TOTAL - 10 - SEEN, "trimmed")
    assert (reading.data, reading.stats.gaps) == ([], 1)


@pytest.mark.parametrize("read", READERS.values(), ids=READERS)
def test_the_gap_is_an_event(feeds: tuple[Feeds, int], read: Read) -> None:
    """Where it is asked for: in its place among the others."""
    reading = come_back(feeds, read, "event")
    gap, *rest = reading.events
    assert isinstance(gap, Gap)
    assert (gap.missed, gap.next) == (TOTAL - 10 - SEEN, rest[0].last_event_id)
    assert ([event.data for event in rest], reading.error) == (KEPT, None)


@pytest.mark.parametrize("read", READERS.values(), ids=READERS)
def test_the_gap_is_only_counted(feeds: tuple[Feeds, int], read: Read) -> None:
    """Where it is to be ignored."""
    reading = come_back(feeds, read, "ignore")
    assert (reading.data, reading.stats.gaps, reading.error) == (KEPT, 1, None)
