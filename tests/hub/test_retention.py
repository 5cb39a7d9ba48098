"""Which retention holds for which topic, and the keeper that trims."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

import pytest

from tests.hub.support import OddLog, engine_of, run, turns, until
from unbroken.errors import ConfigurationError
from unbroken.hub import Hub, Retention
from unbroken.hub.names import CLUSTER, REVOKED
from unbroken.hub.retention import ROUND_INTERVAL, Retentions
from unbroken.logs import Draft
from unbroken.logs.memory import MemoryLog

FEW, SOME, MANY = Retention(max_events=8), Retention(max_events=80), Retention(max_events=8000)


def test_the_first_pattern_that_matches_holds() -> None:
    """In the order in which they stand; what matches none has the default."""
    retentions = Retentions({"chat:vip:*": MANY, "chat:*": SOME, "[ab]?": FEW})
    assert retentions.of("chat:vip:1") is MANY
    assert retentions.of("chat:1") is SOME
    assert retentions.of("a1") is FEW
    assert retentions.of("A1") == Retention()
    assert retentions.of("other") == Retention()


def test_one_retention_is_for_all() -> None:
    """And none is the default; the hub's own topics have one of their own."""
    assert Retentions(FEW).of("x") is FEW
    assert Retentions(None).of("x") == Retention()
    assert Retentions({"*": FEW}).of("$revoked") != FEW


@pytest.mark.parametrize("given", [{"chat:*": 500}, {1: FEW}, {"*": None}, "7", 100])
def test_what_is_no_retention_is_refused(given: Any) -> None:
    """When the hub is made, not when the first topic is trimmed."""
    with pytest.raises(ConfigurationError, match=r"give a Retention\(…\), or a mapping from patterns"):
        Hub("memory://", retention=given)


async def count_of(log: OddLog, topic: str) -> int:
    """Return how many events are kept."""
    return len((await log.inner.read(topic, 0, 100_000)).entries)


def test_a_topic_is_trimmed_soon_after_it_has_grown() -> None:
    """It never holds more than an eighth over its bound, and other topics are left alone."""

    async def main() -> None:
        log = OddLog()
        async with Hub(log, retention={"t": SOME, "u": MANY}) as hub:
            for number in range(500):
                await hub.publish("t", str(number))
                await hub.publish("u", str(number))
                await turns(3)
                assert await count_of(log, "t") <= 80 + 80 // 8 + 1
            assert await count_of(log, "t") >= 80
            assert await count_of(log, "u") == 500

    run(main())


def test_bytes_count_as_well() -> None:
    """Few large events are trimmed like many small ones."""

    async def main() -> None:
        log = OddLog()
        async with Hub(log, retention=Retention(max_events=None, max_bytes=100_000)) as hub:
            for _ in range(40):
                await hub.publish("t", "x" * 10_000)
                await turns(3)
            assert await count_of(log, "t") <= 11

    run(main())


def test_a_duplicate_makes_nothing_grow() -> None:
    """A key that was used appends nothing, so there is nothing to trim."""

    async def main() -> None:
        log = OddLog()
        async with Hub(log, retention=FEW) as hub:
            for _ in range(100):
                await hub.publish("t", "x", key="k")
            await turns()
            assert log.calls["trim"] == 0

    run(main())


def test_all_topics_are_trimmed_in_rounds() -> None:
    """Age alone makes a topic shorter, and events of other processes do."""

    async def main() -> None:
        log = OddLog()
        async with Hub(log, retention=FEW):
            await log.add("elsewhere", *map(str, range(20)))
            await asyncio.sleep(ROUND_INTERVAL * 1.5)
            assert await count_of(log, "elsewhere") == 8

    run(main())


def test_a_log_that_is_away_does_not_end_the_keeper() -> None:
    """What could not be trimmed then is trimmed in a later round."""

    async def main() -> None:
        log = OddLog()
        async with Hub(log, retention=FEW) as hub:
            for number in range(20):
                await hub.publish("t", str(number))

            async def fail(method: str, topic: str) -> None:
                log.away = method in ("trim", "topics")

            log.before = fail
            await hub.publish("t", "x")
            await hub.publish("t", "x")
            await asyncio.sleep(ROUND_INTERVAL * 3)
            assert log.calls["topics"] >= 2
            log.before, log.away = None, False
            await asyncio.sleep(ROUND_INTERVAL * 1.5)
            assert await count_of(log, "t") == 8
            for number in range(20):
                await hub.publish("u", str(number))
                await turns(3)
            assert await count_of(log, "u") <= 10

    run(main())


def test_a_closed_hub_trims_no_more() -> None:
    """The keeper's task ends with it."""

    async def main() -> None:
        log = OddLog()
        hub = Hub(log, retention=FEW)
        await hub.open()
        await until(lambda: any(task.get_name() == "unbroken keeper" for task in asyncio.all_tasks()))
        await hub.close()
        assert not any(task.get_name() == "unbroken keeper" for task in asyncio.all_tasks())

    run(main())


def test_what_is_trimmed_is_gone_at_hand_too() -> None:
    """A topic that is read keeps its newest events in memory, but none that the log has dropped."""

    async def main() -> None:
        async with Hub("memory://") as hub, hub.subscribe("t"):
            positions = [await hub.publish("t", str(number)) for number in range(10)]
            assert await hub.trim("t", Retention(max_events=2)) == 8
            async with hub.subscribe("t", after=positions[0], on_gap="continue") as late:
                assert [(await anext(late)).data for _ in range(2)] == ["8", "9"]
                assert late.gaps == 1

    run(main())


def test_what_another_process_trims_is_forgotten_in_rounds() -> None:
    """Nobody tells of a trim; the next round finds out."""

    async def main() -> None:
        log = MemoryLog()
        async with Hub(log) as hub, hub.subscribe("t"):
            positions = [await hub.publish("t", str(number)) for number in range(10)]
            assert await log.trim("t", Retention(max_events=2)) == 8
            await asyncio.sleep(2 * ROUND_INTERVAL)
            async with hub.subscribe("t", after=positions[0], on_gap="continue") as late:
                assert [(await anext(late)).data for _ in range(2)] == ["8", "9"]

    run(main())


def test_a_busy_topic_keeps_no_round_from_being_made() -> None:
    """Rounds come at their times, however often a topic that grows wants to be trimmed in between."""

    async def main() -> None:
        log = MemoryLog()
        async with Hub(log, retention={"busy": Retention(max_events=8)}) as hub, hub.subscribe("quiet"):
            positions = [await hub.publish("quiet", str(number)) for number in range(10)]
            assert await log.trim("quiet", Retention(max_events=2)) == 8
            for _ in range(100):
                await hub.publish("busy", "x")
                await hub.publish("busy", "x")
                await asyncio.sleep(ROUND_INTERVAL / 50)
            async with hub.subscribe("quiet", after=positions[0], on_gap="continue") as late:
                assert [(await anext(late)).data for _ in range(2)] == ["8", "9"]

    run(main())


def test_topics_of_ours_may_have_a_retention_that_was_given() -> None:
    """By the beginning of their names, and nothing that begins otherwise."""
    retentions = Retentions({"*": FEW})
    assert retentions.of("$run:1") != MANY
    retentions.reserve("$run:", MANY)
    retentions.reserve("$whole:", SOME, whole=True)
    assert retentions.of("$run:1") is MANY
    assert retentions.of("$runs") not in (FEW, MANY)
    retentions.reserve("$each:", {"$each:1": FEW, "$each:2": MANY}.__getitem__)
    assert [retentions.of(f"$each:{number}") for number in (1, 2, 1)] == [FEW, MANY, FEW]
    assert retentions.of("run:1") is FEW
    assert [retentions.goes_whole(topic) for topic in ("$whole:1", "$run:1", "whole:1")] == [True, False, False]


def test_a_topic_that_goes_whole_is_kept_until_its_newest_entry_is_old() -> None:
    """However old the first ones are; then all go at once, the topic with them. Its keys go in their own time."""

    async def main() -> None:
        log = OddLog()
        async with Hub(log) as hub:
            hub._home.reserve(
                "$whole:", Retention(max_events=None, max_age=100.0, key_age=10.0, forget_after=1.0), whole=True
            )
            engine = engine_of(hub)
            for number in range(3):
                await engine.append("$whole:1", [Draft(b"data: x\n")], f"key {number}")
            kept = log.inner._topics["$whole:1"]
            age(kept, 200.0)
            await engine.append("$whole:1", [Draft(b"data: x\n")], "key 3")
            keeper = engine._keeper
            assert keeper is not None
            await keeper._go_round()
            assert len(kept.entries) == 4
            assert list(kept.keys) == ["key 3"]
            reads = log.calls["read"]
            await keeper._go_round()
            assert log.calls["read"] == reads  # it is known until when it is young
            age(kept, 101.0)
            keeper._young_until.clear()
            await keeper._go_round()
            assert not kept.entries
            kept.idle_since -= 2.0
            await keeper._go_round()
            assert "$whole:1" not in log.inner._topics
            await keeper._go_round()
            assert not keeper._young_until

    run(main())


def test_internal_topics_of_others_are_left_alone() -> None:
    """A process that only publishes knows nothing of the runs of another one, and trims none of them."""
    retentions = Retentions({"*": FEW})
    kept = retentions.of("$run:1")
    assert (kept.max_events, kept.max_age, kept.max_bytes, kept.forget_after) == (None, None, None, None)
    assert all(retentions.of(own).max_events for own in (CLUSTER, REVOKED))


def age(kept: Any, seconds: float) -> None:
    """Make all that a topic has so much older."""
    kept.entries[:] = [replace(entry, appended_at=entry.appended_at - seconds) for entry in kept.entries]
    for use in kept.keys.values():
        use.at -= seconds
