"""Who gets a run: one process, once, whatever is lost, stands still or dies meanwhile."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from tests.hub.support import OddLog
from tests.runs.support import (
    DEATH,
    LosingLog,
    WallClock,
    counted,
    kill,
    log_of,
    open_door,
    run,
    texts,
    told,
    two_of,
    until,
    until_gone,
)
from unbroken import Hub
from unbroken.errors import ConfigurationError, LogUnavailable
from unbroken.runs import Run, Runs, RunStatus
from unbroken.runs.desk import Desk
from unbroken.runs.names import DATA, INDEX
from unbroken.runs.origin import new_fence, recover
from unbroken.runs.record import Record


def registered(runs: Runs, begun: list[tuple[str, int]], name: str) -> None:
    """Give a process a producer `stay`, which tells where it began."""

    @runs.producer("stay")
    async def stay(run: Run, *args: object) -> None:
        begun.append((name, run.attempt))
        await asyncio.sleep(10_000)


async def count(run: Run) -> None:
    """Send a few numbers."""
    for number in range(3):
        await run.send(f"{number} ")
        await asyncio.sleep(1)


def test_a_start_whose_acknowledgement_is_lost_is_still_ours() -> None:
    """The second try finds its own first one, and not another process's."""

    async def main() -> None:
        log = LosingLog()
        async with Runs(Hub(log)) as runs:
            log.losing = 1
            started = await runs.start(count)
            assert (await started.wait()).status is RunStatus.DONE
            assert texts(await told(runs, started)) == "0 1 2 "

    run(main())


def test_a_takeover_whose_acknowledgement_is_lost_is_still_ours() -> None:
    """And does not use up an attempt."""

    async def main() -> None:
        log, begun = LosingLog(), list[tuple[str, int]]()
        async with Hub(log) as hub, Runs(hub) as one, Runs(hub) as other:
            for name, runs in (("one", one), ("other", other)):
                registered(runs, begun, name)
            started = await one.start("stay", on_orphan="restart", max_attempts=2)
            kill(one)
            log.losing = 1
            await asyncio.sleep(2 * DEATH)
            assert begun == [("one", 1), ("other", 2)]
            assert (await other.info(started.id)).status is RunStatus.RUNNING

    run(main())


def test_a_process_that_stands_still_before_it_begins_leaves_the_run_to_who_has_it() -> None:
    """It was elected, and others took it for dead: it must not begin their attempt, with their fence."""

    async def main() -> None:
        begun = list[tuple[str, int]]()
        async with two_of() as (one, other):
            for name, runs in (("one", one), ("other", other)):
                registered(runs, begun, name)
            inner, go_on = log_of(one).inner, asyncio.Event()
            append = inner.append

            async def late(topic: str, *args: Any, **more: Any) -> Any:
                appended = await append(topic, *args, **more)
                if topic == INDEX:
                    inner.append = append
                    await go_on.wait()
                return appended

            inner.append = late
            starting = asyncio.create_task(one.start("stay", on_orphan="restart", id="x"))
            await asyncio.sleep(1)
            works: Any = one._works
            works._lease._task.cancel()
            await asyncio.sleep(DEATH)
            go_on.set()
            assert (await starting).info.attempt == 2
            await asyncio.sleep(1)
            assert begun == [("other", 2)]

    run(main())


@pytest.mark.parametrize("before", [True, False])
def test_a_run_can_be_begun_anew_from_the_moment_it_is_somebodys(before: bool) -> None:
    """Its process dies just before or after its election; the client asks again, elsewhere: it is begun."""

    async def main() -> None:
        async with two_of() as (one, other):
            for runs in (one, other):
                runs.producer("count")(count)
            starting = await stalled(one, DATA, before, "count")
            kill(one)
            starting.cancel()
            again = await other.start("count", id="x", on_orphan="restart")
            assert (await again.wait()).status is RunStatus.DONE
            assert texts(await told(other, "x")) == "0 1 2 "

    run(main())


def test_an_order_that_lost_its_election_is_not_what_is_begun_anew() -> None:
    """It was said first what is to be done, with other arguments: that of the winner holds."""

    async def main() -> None:
        said = list[str]()

        async def say(run: Run, word: str) -> None:
            said.append(word)
            await asyncio.sleep(10_000)

        async with two_of() as (one, other):
            for runs in (one, other):
                runs.producer("say")(say)
            starting = await stalled(one, DATA, True, "say", "first")
            await other.start("say", "second", id="x", on_orphan="restart")
            kill(other)
            await until(lambda: len(said) == 2)
            assert said == ["second", "second"]
            starting.cancel()

    run(main())


def test_what_was_answered_to_a_start_can_be_asked_of_any_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """Who won the election stands still before it tells: who lost tells in its place."""

    async def main() -> None:
        async def recover_early(desk: Desk, name: str) -> Record | None:
            """Ask a moment before the other process is elected."""
            found = await recover(desk, name)
            monkeypatch.undo()
            starting.append(await stalled(one, INDEX, True, "count"))
            return found

        starting = list[asyncio.Task[Run]]()
        monkeypatch.setattr("unbroken.runs.starting.recover", recover_early)
        async with Hub(OddLog()) as hub, Runs(hub) as one, Runs(hub) as other, Runs(hub) as third:
            for runs in (one, other):
                runs.producer("count")(count)
            attached = await other.start("count", id="x")
            assert attached.status is RunStatus.RUNNING
            async with open_door(third, "x") as stream:
                assert stream.status == 200
            starting[0].cancel()

    run(main())


async def stalled(runs: Runs, topic: str, before: bool, *order: Any) -> asyncio.Task[Run]:
    """Have a process start run `x`, and stand still for good before or behind its first append to such a topic."""
    inner = log_of(runs).inner
    append, reached = inner.append, asyncio.Event()

    async def still(name: str, *args: Any, **more: Any) -> Any:
        if not name.startswith(topic) or reached.is_set():
            return await append(name, *args, **more)
        if not before:
            await append(name, *args, **more)
        reached.set()
        return await asyncio.sleep(1_000_000)

    inner.append = still
    starting = asyncio.create_task(runs.start(*order, id="x", on_orphan="restart"))
    await reached.wait()
    return starting


def test_a_start_that_cannot_keep_its_order_takes_no_id() -> None:
    """The log was out of reach: the same id can be asked for again."""

    async def main() -> None:
        log = OddLog()
        async with Runs(Hub(log)) as runs:
            begun = list[tuple[str, int]]()
            registered(runs, begun, "here")
            log.away = True
            with pytest.raises(LogUnavailable):
                await runs.start("stay", id="x", on_orphan="restart")
            log.away = False
            assert (await runs.start("stay", id="x", on_orphan="restart")).status is RunStatus.RUNNING
            assert begun == [("here", 1)]

    run(main())


def test_an_order_is_no_larger_than_an_event_may_be() -> None:
    """It is refused before anything is begun, and says how large it is."""

    async def main() -> None:
        async with Runs(Hub("memory://", max_event_bytes=1000)) as runs:
            registered(runs, [], "here")
            with pytest.raises(ConfigurationError, match=r"bytes and may have 1000:"):
                await runs.start("stay", "x" * 1000, id="x", on_orphan="restart")
            assert (await runs.start("stay", "x", id="x", on_orphan="restart")).attempt == 1

    run(main())


def test_each_election_has_a_fence_above_all_before_it() -> None:
    """Whatever the clocks of those who take over say; and whoever knows an old attempt alone is below the newest."""
    first = new_fence()
    second = new_fence(first)
    third = new_fence(second)
    assert first < second < third < new_fence(third) < 2**63
    assert new_fence(first) < third
    assert len({new_fence(first) for _ in range(10)}) > 1


def test_a_producer_of_an_earlier_life_of_an_id_changes_nothing_of_the_next(wall_clock: WallClock) -> None:
    """It stood still until its run was lost and forgotten, and the id another's."""

    async def main() -> None:
        wake, refused = asyncio.Event(), list[BaseException]()

        async def sleeper(run: Run) -> None:
            await wake.wait()
            try:
                await run.send("stale")
            except BaseException as error:
                refused.append(error)
                raise

        async def fresh(run: Run) -> None:
            await run.send("fresh ")
            wake.set()
            await asyncio.sleep(1)
            await run.send("and whole")

        async with two_of(lease=10.0, ttl=60.0) as (one, other):
            await one.start(sleeper, id="x", owner=7)
            kill(one, producers=False)
            await until_gone(other, DATA + "x")
            started = await other.start(fresh, id="x", owner=8)
            assert (await started.wait()).status is RunStatus.DONE
            assert texts(await told(other, started)) == "fresh and whole"
            assert [type(error).__name__ for error in refused] == ["RunEnded"]

    run(main())


def test_a_clock_that_is_set_ends_a_silent_run_and_does_not_cut_it_short_in_silence(wall_clock: WallClock) -> None:
    """All that it has sent is taken for old, and dropped: so it is lost, and readers are told."""

    async def main() -> None:
        async def sleeper(run: Run) -> None:
            await run.send("before")
            await wake.wait()
            await run.send("after")

        wake = asyncio.Event()
        async with Runs(Hub(OddLog())) as runs:
            started = await runs.start(sleeper)
            await asyncio.sleep(1)
            wall_clock.ahead = 7200.0
            await until_gone(runs, DATA + started.id)
            wake.set()
            assert (await started.wait()).status is RunStatus.LOST
            async with open_door(runs, started) as stream:
                assert counted(await stream.until_end())["status"] == "lost"

    run(main())
