"""The sequence of positions that a program sees is exact, whatever breaks on the way."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest

from unbroken.client import DecodedEvent, MemoryStore
from unbroken.errors import UnexpectedResponse
from unbroken.testing import Fault, Faults, running_proxy

from . import reading
from .feed import Feeds, Plan, serving, text
from .reading import READERS, Read

BETWEEN = 50
"""About how many events a connection lives."""
PATIENCE = 0.1
"""Seconds until the watchdog bites, where a fault is a silence; too early it costs a reconnection, but no event."""


@dataclass(frozen=True)
class Trouble:
    """What is wrong with a feed, and with the way to it."""

    fault: Fault | None = Fault.RST
    feed: str = "own"
    plan: dict[str, Any] = field(default_factory=dict)
    slice_bytes: int | None = None
    event_bytes: int = 60
    every: int = 1
    """Bytes and time make some troubles slow: one of so many events, in the quick run."""

    def faults(self, rng: random.Random, count: int) -> list[Faults]:
        """Return the plan for each connection."""
        if self.fault is None:
            return [Faults(slice_bytes=self.slice_bytes)] * count
        upto = 2 * BETWEEN * self.event_bytes
        return [
            Faults(fault=self.fault, after_bytes=rng.randint(1, upto), slice_bytes=self.slice_bytes)
            for _ in range(count)
        ]


TROUBLES = {
    "hub-rst": Trouble(feed="hub"),
    "hub-fin": Trouble(Fault.FIN, "hub"),
    "hub-freeze": Trouble(Fault.FREEZE, "hub", every=4),
    "hub-silence": Trouble(Fault.SWALLOW, "hub", every=4),
    "hub-slices": Trouble(feed="hub", slice_bytes=1, every=4),
    "hub-503": Trouble(feed="hub", plan={"refuses": True}),
    "hub-redirect": Trouble(feed="hub", plan={"redirects": "once"}),
    "hub-redirect-loop": Trouble(feed="hub", plan={"redirects": "loop"}),
    "exclusive": Trouble(),
    "inclusive": Trouble(plan={"repeats": 1}),
    "ends": Trouble(None, plan={"length": BETWEEN, "repeats": 1}),
    "gzip-rst": Trouble(plan={"compresses": True}, event_bytes=8),
    "gzip-fin": Trouble(Fault.FIN, plan={"compresses": True, "repeats": 1}, event_bytes=8),
    "charset": Trouble(slice_bytes=7, plan={"charset": "latin-1"}, every=2),
}


@pytest.fixture(scope="module")
def feeds() -> Iterator[tuple[Feeds, int]]:
    """Run one server for all that is read here."""
    feeds = Feeds()
    with serving(feeds) as port:
        yield feeds, port


def read_through(read: Read, url: str, **options: Any) -> tuple[list[DecodedEvent], int]:
    """Read to the end, as a program does that is started anew after an error, with the place it had.

    Return the events, and over how many connections they came.
    """
    store, events, connections = MemoryStore(), list[DecodedEvent](), 0
    while True:
        seen = read(url, store=store, **options)
        events += seen.events
        connections += seen.stats.connections
        if seen.error is None:
            return events, connections
        if not isinstance(seen.error, UnexpectedResponse):
            raise seen.error


def check(feeds: tuple[Feeds, int], read: Read, trouble: Trouble, total: int) -> None:
    """Read a feed through its trouble, and compare."""
    seed = random.randrange(2**32)
    rng = random.Random(seed)
    app, port = feeds
    plan = Plan(total=total, rng=rng, **trouble.plan)
    path = app.add(trouble.feed, plan)
    silent = trouble.fault in {Fault.FREEZE, Fault.SWALLOW}
    with running_proxy("127.0.0.1", port, faults=trouble.faults(rng, total)) as proxy:
        url = f"http://127.0.0.1:{proxy.port}{path}"
        events, connections = read_through(read, url, idle_timeout=PATIENCE if silent else 5.0)
    assert [event.data for event in events] == [text(number) for number in range(1, total + 1)], f"seed={seed}"
    expected = plan.positions or [str(number) for number in range(1, total + 1)]
    assert [event.last_event_id for event in events] == expected, f"seed={seed}"
    assert connections > total / BETWEEN / 3, f"seed={seed}: it was hardly cut"


@pytest.mark.parametrize("read", READERS.values(), ids=READERS)
@pytest.mark.parametrize("trouble", TROUBLES.values(), ids=TROUBLES)
def test_the_sequence_is_exact(feeds: tuple[Feeds, int], trouble: Trouble, read: Read) -> None:
    """Every event once, in order, with its place: as if nothing had ever been cut."""
    check(feeds, read, trouble, 1000 // trouble.every)


@pytest.mark.parametrize("read", READERS.values(), ids=READERS)
def test_ten_thousand_events_over_two_hundred_resets(feeds: tuple[Feeds, int], read: Read) -> None:
    """It stays exact for as long as it takes."""
    check(feeds, read, TROUBLES["hub-rst"], 10_000)


@pytest.mark.soak
@pytest.mark.parametrize("read", READERS.values(), ids=READERS)
@pytest.mark.parametrize("trouble", TROUBLES.values(), ids=TROUBLES)
def test_ten_thousand_events_through_each_trouble(
    feeds: tuple[Feeds, int], trouble: Trouble, read: Read, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As above, for every trouble."""
    monkeypatch.setattr(reading, "DEADLINE", 300.0)
    check(feeds, read, trouble, 10_000)
