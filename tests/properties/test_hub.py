"""What holds of every reader of a hub, however late, twice, out of order or not at all the log tells of what is new."""

from __future__ import annotations

import asyncio
from collections import Counter
from dataclasses import replace

import pytest

from tests.faults.hub.meddling import MeddledLog
from tests.properties.hub_world import play
from unbroken.hub import Gap, Hub
from unbroken.hub.counters import Counters
from unbroken.hub.overflow import read_behind
from unbroken.hub.reading import Reading

SLICE = range(150)
SOAK = range(10_000, 40_000)


def played(seeds: range) -> Counter[str]:
    """Play the schedules of the seeds, none of which may have a problem; return the gaps that were told."""
    gaps = Counter[str]()
    deliveries = 0
    for seed in seeds:
        verdict = play(seed)
        assert verdict.problems == [], f"seed {seed}"
        deliveries += verdict.deliveries
        gaps += verdict.gaps
    print(f"{len(seeds):,} schedules, {deliveries:,} deliveries, gaps {dict(gaps)}")
    return gaps


def test_readers_get_everything_once_and_in_order_or_are_told_what_they_miss() -> None:
    """Responses and code alike, single topics and several, with retention, rollbacks, lost topics, and a log away."""
    gaps = played(SLICE)
    assert set(gaps) == {"trimmed", "rollback", "fork", "epoch", "overflow"}


@pytest.mark.parametrize("count", [5, 6, 8])
def test_what_was_taken_back_is_no_overflow(count: int) -> None:
    """A slow reader that wants the newest is not told of a gap of no events, or of less, over and over."""

    async def scenario() -> list[int | None]:
        log = MeddledLog()
        async with Hub(log) as hub:
            engine = await hub._home.open()
            for number in range(10):
                await hub.publish("t", str(number))
            reader = await engine.open_reader(hub._numbering("t"), "continue")
            assert await reader.move_behind(0, 4)
            log.take_back("t", count)
            items = await read_behind(reader, Reading(overflow="drop_oldest", max_lag=2), Counters())
            return [item.missed for item in items if isinstance(item, Gap)]

    assert asyncio.run(scenario()) == ([1] if count == 5 else [])


def test_what_was_taken_back_is_not_read_again() -> None:
    """A reader that finds a rollback before its topic does gets nothing of what the topic still has at hand."""

    async def scenario() -> list[str]:
        log = MeddledLog()
        async with Hub(log) as hub:
            engine = await hub._home.open()
            reader = await engine.open_reader(hub._numbering("t"), "continue")
            positions = [await hub.publish("t", str(number)) for number in range(5)]
            log.take_back("t", 2)
            reader.resume(replace(positions[-1], seq=7))  # another process had told it more
            items = [*await reader.read(), *await reader.read()]
            return [str(item.reason) if isinstance(item, Gap) else item.data for item in items]

    assert asyncio.run(scenario()) == ["rollback"]


@pytest.mark.soak
@pytest.mark.timeout(1800)
def test_tens_of_thousands_of_schedules_have_no_silent_hole() -> None:
    """The same, for as long as it takes."""
    assert played(SOAK).total() > 0
