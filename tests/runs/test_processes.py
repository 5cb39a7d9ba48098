"""Several processes: who gets a run, who notices a death, and what becomes of it."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.hub.support import OddLog
from tests.runs.support import (
    DEATH,
    LEASE,
    counted,
    engine_of,
    kill,
    kinds,
    open_door,
    opened,
    run,
    run_for_real,
    texts,
    told,
    two_of,
    until,
)
from unbroken import Hub
from unbroken.errors import ConfigurationError, LogUnavailable, RunEnded
from unbroken.runs import Run, Runs, RunStatus
from unbroken.runs.names import DATA
from unbroken.runs.names import LEASE as LEASE_TOPIC


async def count(run: Run, most: int, pause: float = 1.0) -> None:
    """Send so many numbers."""
    for number in range(most):
        await run.send(f"{number} ")
        await asyncio.sleep(pause)


async def told_in_time(runs: Runs, name: str, seconds: float) -> dict[str, Any]:
    """Return what the end says, which comes within so many seconds."""
    async with open_door(runs, name) as stream, asyncio.timeout(seconds):
        return counted(await stream.until_end())


def test_one_of_all_who_start_an_id_gets_it(tmp_path: Path) -> None:
    """A double click, and a retry at another process: its producer is called once, and all read the same."""
    called = []

    async def once(run: Run) -> None:
        called.append(run.id)
        await count(run, 3, 0.01)

    async def main(url: str) -> None:
        async with two_of(url) as (one, other):
            for name in ("a", "b", "c"):
                starts = (runs.start(once, id=name, on_conflict="attach") for runs in (one, other) * 4)
                started = await asyncio.gather(*starts)
                ends = await asyncio.gather(*(it.wait() for it in started))
                assert {end.status for end in ends} == {RunStatus.DONE}
                assert texts(await told(other, name)) == "0 1 2 "
            assert called == ["a", "b", "c"]

    run_for_real(main, tmp_path)


def test_a_run_is_read_and_cancelled_at_another_process(tmp_path: Path) -> None:
    """Live, and from the log; its producer hears of it within the time of a hint."""

    async def main(url: str) -> None:
        async with two_of(url) as (one, other):
            started = await one.start(count, 10_000, 0.01)
            async with open_door(other, started) as stream:
                seen = await stream.events(5)
                await other.cancel(started.id)
                await other.cancel(started.id)
                seen += await stream.until_end()
            assert counted(seen) == {"status": "cancelled", "attempt": 1}
            assert [it.data for it in seen if it.event == "message"] == [
                it.data for it in await told(one, started) if it.event == "message"
            ]
            async with asyncio.timeout(10):
                assert (await other.wait(started.id)).status is RunStatus.CANCELLED  # a moment after its readers
            await other.cancel(started.id)
            assert counted(await told(one, started))["status"] == "cancelled"

    run_for_real(main, tmp_path)


def test_readers_of_a_dead_process_get_an_end() -> None:
    """Within two leases, wherever they read: `lost`, behind all that was sent."""

    async def main() -> None:
        async with two_of() as (one, other):
            started = await one.start(count, 1000)
            async with open_door(other, started) as stream:
                seen = await stream.events(4)
                kill(one)
                async with asyncio.timeout(DEATH):
                    seen += await stream.until_end()
            assert counted(seen) == {"status": "lost", "attempt": 1}
            assert texts(seen).startswith("0 1 2 ")
            assert (await other.info(started.id)).status is RunStatus.LOST
            assert await other.active() == []

    run(main())


def test_a_process_that_only_stood_still_finds_that_it_was_taken_over() -> None:
    """A suspended machine, a loop that was blocked: not one of its events comes behind the end."""
    refused = []

    async def endless(run: Run) -> None:
        try:
            await count(run, 1000)
        except RunEnded as exc:
            refused.append(str(exc))
            raise

    async def main() -> None:
        async with two_of() as (one, other):
            started = await one.start(endless)
            await asyncio.sleep(3)
            kill(one, producers=False)
            assert await told_in_time(other, started.id, DEATH) == {"status": "lost", "attempt": 1}
            await until(lambda: bool(refused))
            assert counted(await told(other, started))["status"] == "lost"

    run(main())
    assert "another process has taken over" in refused[0]


def test_the_log_being_away_is_nobodys_death() -> None:
    """It was away for both: nobody could give a sign, and nobody is taken over for that."""

    async def main() -> None:
        async with two_of() as (one, other):
            started = await one.start(count, 100)
            await asyncio.sleep(2)
            log: Any = engine_of(one).log
            for _ in range(3):
                log.away = True
                await asyncio.sleep(3 * LEASE)
                log.away = False
                await asyncio.sleep(LEASE)
            assert (await started.wait()).status is RunStatus.DONE
            assert (await other.info(started.id)).attempt == 1

    run(main())


def test_a_log_that_cannot_be_written_is_nobodys_death() -> None:
    """A full disk: who cannot give a sign of life himself does not judge the others by theirs."""

    async def main() -> None:
        async with two_of() as (one, other):
            started = await one.start(stay)
            log: Any = engine_of(one).log

            async def full(method: str, topic: str) -> None:
                if method == "append":
                    raise LogUnavailable("the disk is full")

            for _ in range(3):
                log.before = full
                await asyncio.sleep(3 * LEASE)
                log.before = None
                await asyncio.sleep(2 * LEASE)
            assert (await other.info(started.id)).status is RunStatus.RUNNING
            assert (await other.cancel(started.id)).attempt == 1

    run(main())


async def stay(run: Run) -> None:
    """Produce nothing, for long."""
    await asyncio.sleep(10_000)


def registered(runs: Runs, calls: list[tuple[int, int]], fatal: int = 0) -> None:
    """Have a producer that counts, known as `count`; in its first attempts it waits for its process to die."""

    @runs.producer("count")
    async def counting(run: Run, most: int) -> None:
        calls.append((run.attempt, most))
        for number in range(most):
            await run.send(f"{number} ")
            await asyncio.sleep(1)
        if run.attempt <= fatal:
            await asyncio.sleep(10_000)


def test_an_orphan_begins_anew_where_it_can() -> None:
    """Readers stay, and are told by a second `run-start`, behind which all is new."""
    calls: list[tuple[int, int]] = []

    async def main() -> None:
        async with two_of() as (one, other):
            for runs in (one, other):
                registered(runs, calls, fatal=1)
            started = await one.start("count", 3, on_orphan="restart")
            async with open_door(other, started) as stream:
                seen = await stream.events(4)
                kill(one)
                async with asyncio.timeout(DEATH + 5):
                    seen += await stream.until_end()
            assert kinds(seen) == ["run-start", *["message"] * 3] * 2 + ["run-end"]
            assert counted(seen) == {"status": "done", "attempt": 2}
            assert (await other.info(started.id)).attempt == 2

    run(main())
    assert calls == [(1, 3), (2, 3)]


def test_an_orphan_that_nobody_can_begin_anew_is_lost_in_the_end() -> None:
    """Three leases are left to a process that has its producer; then readers are told."""

    async def main() -> None:
        async with two_of() as (one, other):
            registered(one, [], fatal=9)
            started = await one.start("count", 3, on_orphan="restart")
            kill(one)
            await asyncio.sleep(DEATH)
            assert (await other.info(started.id)).status is RunStatus.RUNNING
            assert await told_in_time(other, started.id, 3 * LEASE) == {"status": "lost", "attempt": 1}

    run(main())


def test_what_kills_every_process_is_not_begun_for_ever() -> None:
    """`max_attempts` in all; then it is lost."""
    calls: list[tuple[int, int]] = []

    async def main() -> None:
        async with Hub("memory://") as hub:
            everyone = [Runs(hub) for _ in range(3)]
            for runs in everyone:
                registered(runs, calls, fatal=9)
                await runs.open()
            started = await everyone[0].start("count", 1, on_orphan="restart", max_attempts=2)
            for number in range(2):
                await until(lambda number=number: len(calls) == number + 1)  # type: ignore[misc]
                holder = next(runs for runs in everyone if started.id in _works(runs)._productions)
                kill(holder)
                everyone.remove(holder)
                _works(holder)._productions.clear()
            assert await told_in_time(everyone[0], started.id, DEATH) == {"status": "lost", "attempt": 2}
            for runs in everyone:
                await runs.close()

    run(main())
    assert [attempt for attempt, _ in calls] == [1, 2]


def _works(runs: Runs) -> Any:
    return runs._works


def test_a_request_to_cancel_outlives_the_process_that_it_was_for() -> None:
    """It is in the log: the one that takes the run over does not begin it anew."""
    calls: list[tuple[int, int]] = []

    async def main() -> None:
        async with two_of() as (one, other):
            for runs in (one, other):
                registered(runs, calls, fatal=9)
            started = await one.start("count", 3, on_orphan="restart")
            await asyncio.sleep(1)
            kill(one)
            await other.cancel(started.id)
            assert await told_in_time(other, started.id, DEATH) == {"status": "cancelled", "attempt": 1}

    run(main())
    assert calls == [(1, 3)]


def test_a_shutdown_interrupts_what_is_running_and_leaves_the_rest_to_others() -> None:
    """Producers may clean up and say a last word; what can begin anew does so at once, not a lease later."""
    calls: list[tuple[int, int]] = []

    async def polite(run: Run) -> None:
        try:
            await asyncio.sleep(1000)
        finally:
            await run.send("bye")

    async def main() -> None:
        async with two_of() as (one, other):
            log: Any = engine_of(one).log
            log.guarantees = _surviving(log.guarantees)
            for runs in (one, other):
                registered(runs, calls, fatal=1)
            plain = await one.start(polite)
            again = await one.start("count", 2, on_orphan="restart")
            await asyncio.sleep(3)
            await one.close()
            assert counted(await told(other, plain)) == {"status": "interrupted", "attempt": 1}
            assert texts(await told(other, plain)) == "bye"
            assert await told_in_time(other, again.id, LEASE) == {"status": "done", "attempt": 2}

    run(main())


def _surviving(guarantees: Any) -> Any:
    return replace(guarantees, survives_process=True)


def test_a_shutdown_may_wait() -> None:
    """`shutdown_grace` seconds, for runs that are nearly done; none of them is interrupted then."""

    async def main() -> None:
        hub = Hub("memory://")
        async with hub:
            async with Runs(hub, shutdown_grace=5) as runs:
                started = await runs.start(count, 4)
            async with opened(hub) as later:
                assert (await later.info(started.id)).status is RunStatus.DONE

    run(main())


def test_what_a_process_began_and_did_not_tell_is_found_by_who_asks_again() -> None:
    """It died between the election and the index: the same id attaches, and has an end."""

    async def main() -> None:
        async with two_of() as (one, other):
            log: Any = engine_of(one).log

            async def die(method: str, topic: str) -> None:
                if method == "append" and topic == "$runs":
                    await asyncio.sleep(10_000)

            log.before = die
            starting = asyncio.create_task(one.start(count, 1000, id="x", owner=7))
            await asyncio.sleep(1)
            log.before = None
            kill(one)
            starting.cancel()
            assert (await _status(other, "x")) == 404
            started = await other.start(count, 1000, id="x", owner=7)
            assert started.status is RunStatus.RUNNING
            assert (await other.start(count, 1000, id="x", owner=7)).id == "x"
            async with open_door(other, "x", reader=7) as stream, asyncio.timeout(DEATH):
                assert counted(await stream.until_end()) == {"status": "lost", "attempt": 1}

    run(main())


async def _status(runs: Runs, name: str) -> int:
    async with open_door(runs, name) as stream:
        await stream.until_end()
        return int(stream.status)


def test_a_log_that_lost_everything_is_told_again_what_runs() -> None:
    """The processes that live have their runs: those that read the index see them, and new ones can be started."""

    async def main() -> None:
        async with two_of() as (one, other):
            await one.start(count, 1000, group="g")
            log: Any = engine_of(one).log
            await asyncio.sleep(2)
            log.lose()
            log.listener.on_doubt(None)
            await asyncio.sleep(2)
            assert [it.group for it in await other.active()] == ["g"]
            fresh = await other.start(count, 2)
            assert (await fresh.wait()).status is RunStatus.DONE

    run(main())


def test_a_process_costs_a_sign_of_life_for_all_its_runs() -> None:
    """One entry every third of a lease, and what it has left of it is one entry or few."""

    async def main() -> None:
        async with opened() as runs:
            log = engine_of(runs).log
            for _ in range(20):
                await runs.start(count, 1000, 1000.0)
            before = {name: (await log.head(name)).seq for name in await log.topics()}
            await asyncio.sleep(10 * LEASE)
            grown = {name: (await log.head(name)).seq - seq for name, seq in before.items()}
            lease = next(name for name in grown if name.startswith(LEASE_TOPIC))
            assert 25 <= grown.pop(lease) <= 35
            assert not any(grown.values()), grown
            assert sum(name.startswith(DATA) for name in before) == 20

    run(main())


@pytest.mark.parametrize("over", [1, 2])
def test_a_shutdown_is_not_held_up_by_a_log_that_is_away(over: int) -> None:
    """It gives up, and the next process finds the runs."""

    async def main() -> None:
        async with two_of() as (one, other):
            log: Any = engine_of(one).log
            started = await one.start(count, 1000)
            await asyncio.sleep(2)
            log.away = True
            loop = asyncio.get_running_loop()
            began = loop.time()
            await one.close()
            assert loop.time() - began < 40
            log.away = False
            assert await told_in_time(other, started.id, over * DEATH) == {"status": "lost", "attempt": 1}

    run(main())


@pytest.mark.parametrize("bounds", [{"max_events": 7}, {"max_events": 100, "max_bytes": 7 * 17}], ids=list)
def test_a_run_may_have_bounds_of_its_own(bounds: dict[str, int]) -> None:
    """Beside others with those of all; and it has them at the next process, too."""

    async def flood(run: Run) -> None:
        for _ in range(10):
            await run.send("x" * 10)
        if run.attempt == 1:
            await asyncio.sleep(10_000)

    async def main() -> None:
        async with two_of(max_events=5) as (one, other):
            for runs in (one, other):
                runs.producer("flood")(flood)
            usual = await one.start("flood")
            own = await one.start("flood", **bounds, on_orphan="restart")  # type: ignore[arg-type]
            await asyncio.gather(usual.wait(), own.wait())
            assert len(texts(await told(one, usual))) == 50
            assert len(texts(await told(one, own))) == 70
            more = await one.start("flood", max_events=10, max_bytes=1000, on_orphan="restart")
            await asyncio.sleep(1)
            kill(one)
            await other.wait(more.id)
            assert len(texts(await told(other, more))) == 200

    run(main())


def test_a_process_is_judged_by_its_own_lease() -> None:
    """In a deployment that shortens it, the older processes give their signs as seldom as before."""

    async def main() -> None:
        async with Hub(OddLog()) as hub, Runs(hub, lease=30.0) as older, Runs(hub, lease=1.0) as newer:
            started = await older.start(count, 60)
            assert (await newer.wait(started.id)).status is RunStatus.DONE
            left = await older.start(count, 600)
            kill(older)
            async with asyncio.timeout(2 * 30.0):
                assert (await newer.wait(left.id)).status is RunStatus.LOST

    run(main())


def test_the_runs_of_one_hub_are_kept_for_one_time() -> None:
    """The shorter one would drop what the longer one has promised."""
    hub = Hub("memory://")
    Runs(hub, ttl=100.0)
    Runs(hub, ttl=100.0)
    with pytest.raises(ConfigurationError, match="ttl=200, and other Runs of this hub have ttl=100"):
        Runs(hub, ttl=200.0)
