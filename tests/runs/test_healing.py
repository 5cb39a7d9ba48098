"""What one process has begun to say, and another one finishes."""

from __future__ import annotations

import asyncio
import time
from dataclasses import replace
from typing import Any

import pytest

from tests.runs.support import (
    DEATH,
    LEASE,
    LosingLog,
    counted,
    kill,
    kinds,
    log_of,
    open_door,
    opened,
    run,
    told,
    two_of,
    until,
)
from unbroken import Hub
from unbroken.errors import ConfigurationError, RunNotFound, RunsClosing
from unbroken.logs import Draft, Retention
from unbroken.runs import Run, Runs, RunStatus
from unbroken.runs.events import end_payload, start_payload
from unbroken.runs.names import DATA, INDEX
from unbroken.runs.origin import new_fence, origin_of, start_key


async def stay(run: Run) -> None:
    """Produce nothing, for long."""
    await asyncio.sleep(10_000)


def record_of(runs: Runs, name: str) -> Any:
    """Return what the index of a process says."""
    works: Any = runs._works
    return works.index.get(name)


def test_an_end_that_was_not_told_is_found() -> None:
    """The last event is in the run's topic, and its process died then: it was done, and not lost."""

    async def main() -> None:
        async with two_of() as (one, other):
            started = await one.start(stay)
            kill(one)
            payload = end_payload(RunStatus.DONE, 1, "all")
            await log_of(one).append(
                DATA + started.id, [Draft(payload)], fence=record_of(one, started.id).fence, close=True
            )
            await asyncio.sleep(DEATH)
            found = await other.info(started.id)
            assert found.status is RunStatus.DONE
            assert found.ended_at == pytest.approx(time.time(), abs=5)
            assert counted(await told(other, started))["result"] == "all"

    run(main())


def test_a_takeover_that_was_not_told_is_found() -> None:
    """A process took the run over, and died before it said so: its own death is noticed, too."""

    async def main() -> None:
        async with two_of() as (one, other):
            for runs in (one, other):
                runs.producer("stay")(stay)
            started = await one.start("stay", on_orphan="restart", max_attempts=2)
            kill(one)
            first = record_of(one, started.id)
            taken = replace(first, process="aa" * 8, attempt=2, fence=new_fence(first.fence))
            drafts = [Draft(start_payload(started.id, 2, origin_of(taken)))]
            await log_of(one).append(DATA + started.id, drafts, key=start_key(2), fence=taken.fence)
            async with open_door(other, started) as stream, asyncio.timeout(2 * DEATH):
                events = await stream.until_end()
            assert kinds(events) == ["run-start", "run-start", "run-end"]
            assert counted(events) == {"status": "lost", "attempt": 2}

    run(main())


def test_two_takeovers_that_were_not_told_are_found() -> None:
    """The log fences off who knows of the first process alone, so that it looks."""

    async def main() -> None:
        async with two_of() as (one, other):
            runs_on = {"on_orphan": "restart", "max_attempts": 9}
            one.producer("stay")(stay)
            started = await one.start("stay", **runs_on)  # type: ignore[arg-type]
            kill(one)
            taken = record_of(one, started.id)
            for attempt in (2, 3):
                fence = new_fence(taken.fence)
                taken = replace(taken, process=f"{attempt}" * 16, attempt=attempt, fence=fence)
                drafts = [Draft(start_payload(started.id, attempt, origin_of(taken)))]
                await log_of(one).append(DATA + started.id, drafts, key=f"of-another-{attempt}", fence=taken.fence)
            await until(lambda: record_of(other, started.id).attempt == 3, 5 * DEATH)
            await until(lambda: record_of(other, started.id).status is RunStatus.LOST, 5 * DEATH)
            assert counted(await told(other, started)) == {"status": "lost", "attempt": 3}

    run(main())


def test_a_run_whose_topic_is_gone_is_lost() -> None:
    """Somebody deleted it: the index does not keep saying that it runs."""

    async def main() -> None:
        async with two_of() as (one, other):
            started = await one.start(stay)
            kill(one)
            del log_of(one).inner._topics[DATA + started.id]
            await asyncio.sleep(DEATH)
            assert (await other.info(started.id)).status is RunStatus.LOST

    run(main())


def test_a_request_to_cancel_that_meets_the_end_changes_nothing() -> None:
    """The last event was on its way: it is `done`, there and in the index."""

    async def main() -> None:
        log = LosingLog()
        async with opened(Hub(log)) as runs:

            async def ends(run: Run) -> None:
                log.losing = 1
                await run.finish("all")

            started = await runs.start(ends)
            await until(lambda: log.away or log.losing == 0)
            await runs.cancel(started.id)
            assert (await started.wait()).status is RunStatus.DONE
            assert counted(await told(runs, started)) == {"status": "done", "attempt": 1, "result": "all"}

    run(main())


def test_a_process_that_hears_nothing_asks() -> None:
    """Hints may be lost: an unknown id is looked up, and what ended is known a round later."""

    async def main() -> None:
        async with two_of() as (one, other):
            log = log_of(one)
            log.deaf = True
            started = await one.start(stay)
            assert (await other.info(started.id)).status is RunStatus.RUNNING
            assert [it.id for it in await other.active()] == [started.id]
            await one.cancel(started.id)
            await asyncio.sleep(60)
            assert (await other.info(started.id)).status is RunStatus.CANCELLED

    run(main())


def test_an_index_that_was_trimmed_is_read_on() -> None:
    """What a process had not read of it is old: that is no loss, and those that run are known."""

    async def main() -> None:
        async with two_of() as (one, other):
            log = log_of(one)
            first = await one.start(stay)
            log.deaf = True
            for _ in range(5):
                await one.start(stay)
            await log.inner.trim(INDEX, Retention(max_events=1))
            assert len(await other.active()) == 2
            assert (await other.info(first.id)).status is RunStatus.RUNNING
            await log.inner.trim(INDEX, Retention(max_age=1e-9))
            log.deaf = False
            last = await one.start(stay)
            assert (await other.info(last.id)).id == last.id

    run(main())


def test_a_process_that_shuts_down_starts_nothing() -> None:
    """While its runs end; and what was about to start then has an end, too."""

    async def main() -> None:
        async with two_of() as (one, other):

            async def slow(run: Run) -> None:
                try:
                    await asyncio.sleep(1000)
                finally:
                    await asyncio.sleep(5)

            await one.start(slow)
            log = log_of(one)

            async def late(method: str, topic: str) -> None:
                if method == "append" and topic == INDEX:
                    log.before = None
                    await asyncio.sleep(1)

            log.before = late
            starting = asyncio.create_task(one.start(slow, id="late"))
            await asyncio.sleep(0.5)
            closing = asyncio.create_task(one.close())
            await asyncio.sleep(0.1)
            with pytest.raises(RunsClosing):
                await one.start(slow)
            assert (await starting).id == "late"
            await closing
            assert counted(await told(other, "late"))["status"] == "interrupted"
            assert await other.active() == []

    run(main())


def test_a_log_that_cannot_be_opened_is_said_and_can_be_later() -> None:
    """Nothing is left of the first try."""

    async def main() -> None:
        log = LosingLog()
        runs = Runs(Hub(log))
        calls = log.calls

        async def refuse(method: str, topic: str) -> None:
            if method == "append":
                log.away = True

        log.before = refuse
        with pytest.raises(Exception, match="away"):
            await runs.open()
        assert len(asyncio.all_tasks()) == 1
        log.before, log.away = None, False
        async with runs:
            await runs.start(stay)
        assert calls["stop"] == 2

    run(main())


def test_a_run_that_is_forgotten_is_not_found() -> None:
    """Whoever kept a `Run` for longer than its ttl is told so."""

    async def main() -> None:
        async with opened(ttl=40.0) as runs:

            async def short(run: Run) -> None:
                await run.send("x")

            started = await runs.start(short)
            assert (await started.wait()).status is RunStatus.DONE
            works: Any = runs._works
            works.index._records[started.id] = replace(record_of(runs, started.id), ended_at=time.time() - 41)
            await asyncio.sleep(LEASE)
            for asked in (started.wait(), runs.cancel(started.id)):
                with pytest.raises(RunNotFound):
                    await asked

    run(main())


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"lease": 0}, "lease=0"),
        ({"ttl": -1}, "ttl=-1"),
        ({"ttl": 20}, "less than two leases"),
        ({"max_events": 0}, "max_events=0"),
        ({"max_bytes": 1.5}, "max_bytes=1.5"),
        ({"max_per_owner": 0}, "max_per_owner=0"),
        ({"cleanup_timeout": None}, "cleanup_timeout=None"),
        ({"shutdown_grace": -1}, "shutdown_grace=-1"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_options_that_cannot_work_are_refused(arguments: dict[str, Any], words: str) -> None:
    """When the runs are made."""
    with pytest.raises(ConfigurationError, match=words):
        Runs(Hub("memory://"), **arguments)


def test_a_name_is_one_producers() -> None:
    """Two with one name would be started for each other; arguments that JSON cannot hold could not be kept."""

    async def main() -> None:
        async with opened() as runs:
            runs.producer("stay")(stay)
            runs.producer("stay")(stay)
            with pytest.raises(ConfigurationError, match="its own name"):
                runs.producer("stay")(kinds)
            with pytest.raises(ConfigurationError, match="is none"):
                runs.producer("")
            with pytest.raises(ConfigurationError, match="as JSON"):
                await runs.start(stay, object(), on_orphan="restart")
            assert (await runs.start(stay, on_orphan="restart")).status is RunStatus.RUNNING

    run(main())
