"""Statistics: each number against a count that a test knows."""

from __future__ import annotations

import dataclasses

import pytest

from tests.hub.support import Endpoint, OddLog, opened, run, stepped, turns, until
from unbroken.hub import Hub


def test_every_number_is_what_happened() -> None:
    """Deliveries, replays, demotions, fills, breaks, gaps and beginnings, of a course that is known."""

    async def main() -> None:
        log = OddLog()
        async with Hub(log) as hub:
            app = stepped(Endpoint(hub, "t"))
            first = await hub.publish("t", "first", key="0")
            for number in range(299):  # the 256 newest are at hand when the topic is opened
                await hub.publish("t", number)
            await hub.publish("t", "again", key="0")
            async with opened(app, str(first)) as one, opened(app) as two:
                await one.events(299)
                await until(lambda: hub.stats().live == 2)
                for number in range(5):
                    await hub.publish("t", number)
                await one.events(5)
                await two.events(5)
                stats = hub.stats()
                assert (stats.topics, stats.subscribers, stats.live, stats.behind) == (1, 2, 2, 0)
                assert (stats.published, stats.duplicates, stats.delivered) == (305, 1, 10)
                assert stats.replayed == 299  # a page of the log, and what was at hand
                assert stats.resumes == {"complete": 1, "none": 1}
                assert (stats.fills, stats.breaks, stats.demotions, stats.gaps) == (0, 0, 0, {})
                log.lose()
                await log.add("t", "new")
                await one.events(2)
                await two.events(2)
                await until(lambda: hub.stats().live == 2)
                stats = hub.stats()
                assert (stats.fills, stats.breaks, stats.demotions, stats.gaps) == (1, 1, 2, {"epoch": 2})
            await turns()
            stats = hub.stats()
            assert (stats.topics, stats.subscribers, stats.live, stats.behind) == (1, 0, 0, 0)
        assert hub.stats().published == 305
        assert hub.stats().topics == 0

    run(main())


def test_a_look_does_not_change_afterwards() -> None:
    """It is a value: later events are in the next one."""

    async def main() -> None:
        async with Hub("memory://") as hub:
            before = hub.stats()
            await hub.publish("t", "x")
            assert (before.published, hub.stats().published) == (0, 1)
            with pytest.raises(dataclasses.FrozenInstanceError):
                before.published = 7  # type: ignore[misc]

    run(main())
