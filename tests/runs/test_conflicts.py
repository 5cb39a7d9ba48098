"""Who else wants a run, and how many one may have."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from tests.runs.support import counted, engine_of, open_door, opened, run, run_for_real, told, two_of
from unbroken.errors import RunConflict, TooManyRuns
from unbroken.runs import Run, RunStatus


async def wait(run: Run, ended: list[str] | None = None) -> None:
    """Produce nothing, for long."""
    try:
        await asyncio.sleep(1000)
    finally:
        if ended is not None:
            ended.append(run.id)


def test_an_id_is_used_once() -> None:
    """Running or ended, it is the run of that id; who does not want that is told."""

    async def main() -> None:
        async with opened() as runs:
            first = await runs.start(wait, id="x")
            assert (await runs.start(wait, id="x")).id == "x"
            with pytest.raises(RunConflict, match="is there already: it is running") as caught:
                await runs.start(wait, id="x", on_conflict="reject")
            assert caught.value.id == "x"
            await first.cancel()
            await first.wait()
            assert (await runs.start(wait, id="x", on_conflict="interrupt")).status is RunStatus.CANCELLED

    run(main())


def test_anothers_id_is_taken_and_nothing_is_said_of_it() -> None:
    """Neither its state nor its id as an attribute; `attach` does not open it."""

    async def main() -> None:
        async with opened() as runs:
            await runs.start(wait, id="x", owner=1)
            for choice in ("attach", "reject", "interrupt"):
                with pytest.raises(RunConflict, match="is taken") as caught:
                    await runs.start(wait, id="x", owner=2, on_conflict=choice)
                assert caught.value.id == ""
                assert "running" not in str(caught.value)

    run(main())


def test_ids_of_ours_are_long_and_never_the_same() -> None:
    """22 characters of chance."""

    async def main() -> None:
        async with opened() as runs:
            ids = {(await runs.start(wait)).id for _ in range(20)}
            assert len(ids) == 20
            assert {len(name) for name in ids} == {22}

    run(main())


def test_a_group_has_one_run_at_a_time() -> None:
    """`attach` returns the one that is there, `reject` names it, `interrupt` has it ended before the new one begins."""
    ended: list[str] = []

    async def main() -> None:
        async with opened() as runs:
            first = await runs.start(wait, ended, group="g", owner=1)
            assert (await runs.start(wait, group="g", owner=1)).id == first.id
            with pytest.raises(RunConflict, match="running in group 'g'") as caught:
                await runs.start(wait, group="g", owner=1, on_conflict="reject")
            assert caught.value.id == first.id
            second = await runs.start(wait, group="g", owner=1, on_conflict="interrupt")
            assert ended == [first.id]
            assert counted(await told(runs, first)) == {"status": "cancelled", "attempt": 1}
            assert [it.id for it in await runs.active(group="g", reader=1)] == [second.id]

    run(main())


def test_the_end_of_one_is_the_beginning_of_the_next() -> None:
    """Who starts the next run on seeing the last one's end gets a new one, though the index is a moment behind."""

    async def main() -> None:
        async with two_of(max_per_owner=1) as (one, other):
            log: Any = engine_of(one).log

            async def slow(method: str, topic: str) -> None:
                if method == "append" and topic == "$runs":
                    await asyncio.sleep(5)

            async def ends(run: Run) -> None:
                log.before = slow
                await run.finish()

            first = await one.start(ends, group="g", owner=1)
            async with open_door(other, first, reader=1) as stream:
                await stream.until_end()
            log.before = None
            assert first.status is RunStatus.RUNNING
            for runs in (one, other):
                started = await runs.start(wait, group="g", owner=1)
                assert started.id != first.id
                assert (await runs.info(started.id, reader=1)).status is RunStatus.RUNNING
                await started.cancel()
                await started.wait()
            await asyncio.sleep(10)
            assert (await other.info(first.id, reader=1)).status is RunStatus.DONE

    run(main())


def test_a_group_is_its_owners() -> None:
    """Nobody ends, or is given, what another owner runs under the same name."""

    async def main() -> None:
        async with opened() as runs:
            first = await runs.start(wait, group="g", owner=1)
            second = await runs.start(wait, group="g", owner=2, on_conflict="interrupt")
            third = await runs.start(wait, group="g")
            assert len({first.id, second.id, third.id}) == 3
            assert {it.status for it in (first, second, third)} == {RunStatus.RUNNING}

    run(main())


@pytest.mark.parametrize("choice", ["attach", "reject", "interrupt"])
def test_processes_that_start_in_a_group_at_once(choice: Any, tmp_path: Path) -> None:
    """One run goes on, by the order of the index: the others get it, are refused, or were ended for it."""
    begun: list[str] = []

    async def busy(run: Run) -> None:
        begun.append(run.id)
        await asyncio.sleep(1000)

    async def main(url: str) -> None:
        async with two_of(url) as (one, other):
            starts = (runs.start(busy, group="g", on_conflict=choice) for runs in (one, other) * 3)
            started = await asyncio.gather(*starts, return_exceptions=True)
            got = {it.id for it in started if isinstance(it, Run)}
            refused = [it for it in started if isinstance(it, RunConflict)]
            (left,) = {it.id for runs in (one, other) for it in await runs.active(group="g")}
            assert left in begun
            assert left in got
            if choice == "attach":
                assert got == {left} == set(begun)
            elif choice == "reject":
                assert {it.id for it in refused} == {left}
                assert len(refused) == 5
                assert set(begun) == {left}
            for name in got - {left}:
                assert counted(await told(one, name))["status"] == "cancelled"

    run_for_real(main, tmp_path)


def test_an_owner_has_so_many(tmp_path: Path) -> None:
    """In all processes together; beyond that he is refused until one has ended. Runs of nobody are not bounded."""

    async def main(url: str) -> None:
        async with two_of(url, max_per_owner=2) as (one, other):
            starts = (runs.start(wait, owner=1) for runs in (one, other) * 3)
            started = await asyncio.gather(*starts, return_exceptions=True)
            refused = [it for it in started if isinstance(it, TooManyRuns)]
            assert len(refused) == 4
            assert "max_per_owner=2" in str(refused[0])
            assert len(await one.active(reader=1)) == 2
            await other.start(wait, owner=2)
            for _ in range(3):
                await other.start(wait)
            first = next(it for it in started if isinstance(it, Run))
            await first.cancel()
            await first.wait()
            await one.start(wait, owner=1)

    run_for_real(main, tmp_path)


def test_to_take_the_place_of_ones_own_run_is_not_one_more() -> None:
    """With `interrupt` the bound is not in the way of the run that makes room."""

    async def main() -> None:
        async with opened(max_per_owner=1) as runs:
            await runs.start(wait, owner=1, group="g")
            await runs.start(wait, owner=1, group="g", on_conflict="interrupt")
            with pytest.raises(TooManyRuns):
                await runs.start(wait, owner=1, group="other", on_conflict="interrupt")

    run(main())


def test_whoever_asked_may_be_gone_before_it_has_begun() -> None:
    """The request is cancelled while the log is asked: the run begins all the same, and goes on."""

    async def main() -> None:
        async with two_of() as (one, other):
            log: Any = engine_of(one).log

            async def slow(method: str, topic: str) -> None:
                if method == "append":
                    await asyncio.sleep(1)

            log.before = slow
            asking = asyncio.create_task(one.start(wait, id="x"))
            await asyncio.sleep(0.5)
            asking.cancel()
            await asyncio.sleep(5)
            assert (await other.info("x")).status is RunStatus.RUNNING
            log.before = None

    run(main())
