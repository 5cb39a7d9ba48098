"""What is left of runs, in the log and in the process."""

from __future__ import annotations

import asyncio
import gc
import weakref
from pathlib import Path
from typing import Any

import pytest

from tests.runs.support import (
    WallClock,
    engine_of,
    kill,
    kinds,
    open_door,
    opened,
    run,
    run_for_real,
    told,
    two_of,
    until_gone,
)
from unbroken import Hub
from unbroken.errors import RunNotFound
from unbroken.runs import CancelWhenUnwatched, Run, RunStatus
from unbroken.runs.names import CONTROL, DATA


async def write(run: Run, pause: float = 0.0) -> None:
    """Send three events."""
    for number in range(3):
        await run.send(str(number))
        await asyncio.sleep(pause)


def test_a_run_is_kept_whole_until_its_ttl_and_then_nothing_is(tmp_path: Path) -> None:
    """Not its first events before the last ones: all, or none. Neither a topic, nor a key, nor a 200."""

    async def main(url: str) -> None:
        async with two_of(url, lease=0.1, ttl=0.6) as (one, other):
            keeper: Any = engine_of(one)._keeper
            long = await one.start(write, 0.35)
            watched = await one.start(write, on_disconnect=CancelWhenUnwatched(5))
            async with open_door(other, watched) as stream:
                await stream.until_end()
            await long.wait()
            await keeper._go_round()  # 1.05 s after the first event, and at once after the last
            assert len(await told(one, long)) == 5
            async with open_door(other, long) as stream:
                assert stream.status == 200
                await stream.until_end()
            await asyncio.sleep(0.8)
            log = engine_of(one).log
            for runs in (one, other):  # what is followed for half a minute more is made again when it is looked at
                for topic in engine_of(runs).topics:
                    if not topic.users:
                        engine_of(runs).topics._drop(topic.name)
            for _ in range(3):
                keeper._young_until.clear()
                await keeper._go_round()
                await asyncio.sleep(0.7)
            left = [name for name in await log.topics() if name.startswith("$run")]
            assert sorted(name.split(":")[0] for name in left) == ["$run-lease", "$run-lease", "$runs"]
            async with open_door(other, long) as stream:
                await stream.until_end()
                assert stream.status == 404

    run_for_real(main, tmp_path)


def test_a_run_may_go_before_the_others(wall_clock: WallClock) -> None:
    """With a ttl of its own, in every process; also if another one began it anew."""

    async def stay(run: Run) -> None:
        if run.attempt == 1:
            await asyncio.sleep(10_000)

    async def main() -> None:
        async with two_of(lease=10.0, ttl=10_000.0) as (one, other):
            for runs in (one, other):
                runs.producer("stay")(stay)
            usual = await one.start(write, 0.1)
            short = await one.start(write, 0.1, ttl=100.0)
            again = await one.start("stay", on_orphan="restart", ttl=100.0)
            await asyncio.gather(usual.wait(), short.wait())
            await asyncio.sleep(90)
            assert (await other.info(short.id)).status is RunStatus.DONE
            kill(one)
            assert (await other.wait(again.id)).attempt == 2
            for gone in (short, again):
                await until_gone(other, DATA + gone.id)
                await until_gone(other, CONTROL + gone.id)
                with pytest.raises(RunNotFound):
                    await other.info(gone.id)
            assert (await other.info(usual.id)).status is RunStatus.DONE
            assert len(await told(other, usual)) == 5

    run(main())


def test_a_silent_run_is_kept_as_long_as_it_runs(wall_clock: WallClock) -> None:
    """However short its time is behind the end."""

    async def silent(run: Run) -> None:
        await asyncio.sleep(1000)

    async def main() -> None:
        async with opened(lease=10.0, ttl=10_000.0) as runs:
            started = await runs.start(silent, ttl=60.0)
            assert (await started.wait()).status is RunStatus.DONE
            assert kinds(await told(runs, started)) == ["run-start", "run-end"]

    run(main())


def test_keys_of_a_long_run_are_not_kept_as_long_as_it() -> None:
    """They are for trying again: a few minutes of them are enough."""

    async def main() -> None:
        async with opened() as runs:
            started = await runs.start(write, 100.0)
            await asyncio.sleep(1)
            log: Any = engine_of(runs).log
            kept = log._topics[DATA + started.id]
            assert len(kept.keys) == 2
            for key, use in list(kept.keys.items()):
                use.at -= 301
                assert key
            keeper: Any = engine_of(runs)._keeper
            await keeper._go_round()
            assert not kept.keys
            assert len(kept.entries) == 2

    run(main())


def test_a_thousand_runs_leave_nothing_in_the_process() -> None:
    """But for what the index knows of them, until their ttl."""

    async def main() -> None:
        async with opened() as runs:
            seen: weakref.WeakSet[Run] = weakref.WeakSet()

            async def short(run: Run) -> None:
                seen.add(run)
                await run.send("x")

            works: Any = runs._works
            for _ in range(1000):
                started = await runs.start(short)
                await started.wait()
            del started
            await asyncio.sleep(0.01)
            assert not works._productions
            assert not works.starting
            assert not works._starts
            assert not works.index._waiting
            gc.collect()
            assert len(seen) == 0
            assert len(asyncio.all_tasks()) < 10
            assert len(works.index._records) == 1000

    run(main())


def test_runs_can_be_opened_again() -> None:
    """In the same process, over the same hub; what has ended is still there to be read."""

    async def main() -> None:
        hub = Hub("memory://")
        async with opened(hub) as runs:
            started = await runs.start(write)
            await started.wait()
            tasks = len(asyncio.all_tasks())
            assert tasks > 1
        assert hub._home.engine is None
        assert len(asyncio.all_tasks()) == 1
        async with hub:
            async with opened(hub) as runs:
                assert (await runs.info(started.id)).status is RunStatus.DONE
            assert hub._home.engine is not None  # it was open before
        async with hub, opened(hub) as runs, opened(hub):
            await runs.close()
            await runs.close()

    run(main())
