"""What goes wrong at the worst moment: an answer that is lost, a process that stands still, an outage, a shutdown."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

import pytest

from tests.hub.support import OddLog
from tests.runs.support import (
    DEATH,
    counted,
    kill,
    kinds,
    log_of,
    open_door,
    opened,
    run,
    texts,
    told,
    two_of,
    until,
)
from unbroken import Hub
from unbroken.errors import EncodeError, LogUnavailable, RunNotFound, RunsClosing
from unbroken.runs import CancelWhenUnwatched, Run, Runs, RunStatus
from unbroken.runs.names import CONTROL, DATA, INDEX


def registered(runs: Runs, begun: list[tuple[str, int]], name: str, pause: float = 0.0) -> None:
    """Give a process a producer `stay`, which tells where it began."""

    @runs.producer("stay")
    async def stay(run: Run) -> None:
        begun.append((name, run.attempt))
        try:
            await asyncio.sleep(10_000)
        finally:
            await asyncio.sleep(pause)


async def count(run: Run) -> None:
    """Send a few numbers."""
    for number in range(3):
        await run.send(f"{number} ")
        await asyncio.sleep(1)


# Cancelling.


def test_a_run_that_was_cancelled_is_not_begun_anew_when_its_process_dies() -> None:
    """It died while its producer cleaned up."""

    async def main() -> None:
        begun = list[tuple[str, int]]()
        async with two_of() as (one, other):
            for name, runs in (("one", one), ("other", other)):
                registered(runs, begun, name, 8)
            started = await one.start("stay", on_orphan="restart")
            await asyncio.sleep(1)
            await one.cancel(started.id)
            await asyncio.sleep(1)
            log_of(one).before = _no_ends  # the cancelled task of its end writes none
            kill(one)
            await asyncio.sleep(1)
            log_of(one).before = None
            await asyncio.sleep(2 * DEATH)
            assert begun == [("one", 1)]
            assert (await other.info(started.id)).status is RunStatus.CANCELLED

    run(main())


async def _no_ends(method: str, topic: str) -> None:
    if method == "append" and topic.startswith(DATA):
        raise LogUnavailable("away")


def test_a_run_that_was_cancelled_in_an_outage_is_not_begun_anew() -> None:
    """Nobody can be told then; but this process knows."""

    async def main() -> None:
        log, begun = OddLog(), list[tuple[str, int]]()
        async with Runs(Hub(log)) as runs:
            registered(runs, begun, "one")
            started = await runs.start("stay", on_orphan="restart")
            await asyncio.sleep(1)
            log.away = True
            with pytest.raises(LogUnavailable):
                await started.cancel()
            await asyncio.sleep(30)
            log.away = False
            await asyncio.sleep(DEATH)
            assert begun == [("one", 1)]
            assert counted(await told(runs, started))["status"] == "cancelled"

    run(main())


# Shutting down.


def test_a_run_that_is_let_go_is_not_taken_back_while_the_rest_is_shut_down() -> None:
    """Nor is a cancel lost that comes meanwhile."""

    async def main() -> None:
        begun = list[tuple[str, int]]()
        async with two_of() as (one, other):
            log = log_of(one)
            log.guarantees = replace(log.guarantees, survives_process=True)
            registered(one, begun, "one")
            registered(other, begun, "other", 0)
            kill(other)

            @one.producer("slow")
            async def slow(run: Run) -> None:
                try:
                    await asyncio.sleep(10_000)
                finally:
                    await asyncio.sleep(9)

            await one.start("stay", on_orphan="restart")
            await one.start("slow")
            await asyncio.sleep(1)
            await one.close()
            assert begun == [("one", 1)]

    run(main())


def test_a_start_that_has_waited_for_too_long_in_a_shutdown_is_refused() -> None:
    """And its run has an end."""

    async def main() -> None:
        begun = list[str]()

        async def slow(run: Run, seconds: float) -> None:
            try:
                await asyncio.sleep(10_000)
            finally:
                await asyncio.sleep(seconds)

        async def new(run: Run) -> None:
            begun.append(run.id)

        async with Hub("memory://") as hub:
            runs = Runs(hub)
            await runs.open()
            await runs.start(slow, 7, group="g")
            await runs.start(slow, 9)
            await asyncio.sleep(1)
            starting = asyncio.create_task(runs.start(new, group="g", id="new", on_conflict="interrupt"))
            await asyncio.sleep(0.5)
            log = log_of(runs)
            await runs.close()
            with pytest.raises(RunsClosing):
                await starting
            assert not begun
            assert (await log.head(f"{DATA}new")).closed

    run(main())


def test_a_close_that_is_cancelled_leaves_no_task() -> None:
    """Whoever shuts down in haste."""

    async def main() -> None:
        async def slow(run: Run) -> None:
            try:
                await asyncio.sleep(10_000)
            finally:
                await asyncio.sleep(9)

        runs = Runs(Hub("memory://"))
        await runs.open()
        await runs.start(slow)
        await asyncio.sleep(1)
        closing = asyncio.create_task(runs.close())
        await asyncio.sleep(1)
        closing.cancel()
        await asyncio.wait((closing,))
        await asyncio.sleep(20)
        assert asyncio.all_tasks() == {asyncio.current_task()}

    run(main())


# What is sent.


def test_what_waited_and_could_not_be_sent_is_told_at_the_latest_by_the_end() -> None:
    """The run is not `done` with a hole in it."""

    async def sends(run: Run) -> None:
        await run.send("one ")
        await asyncio.sleep(1)
        await run.send("two ")
        await asyncio.sleep(70)

    async def finishes(run: Run) -> None:
        await sends(run)
        await run.finish()

    async def main() -> None:
        for producer in (sends, finishes):
            log = OddLog()
            async with Runs(Hub(log)) as runs:
                started = await runs.start(producer, coalesce=0.02)
                await asyncio.sleep(0.5)
                log.away = True
                await asyncio.sleep(65)
                log.away = False
                assert (await started.wait()).status is RunStatus.ERROR

    run(main())


def test_what_was_taken_is_sent_though_its_producer_is_cancelled_meanwhile() -> None:
    """By a flush of its own, and by a snapshot."""

    async def flushes(run: Run) -> None:
        await run.send("all")
        await asyncio.sleep(0.5)
        await run.flush()

    async def shows(run: Run) -> None:
        await run.send("all")
        await asyncio.sleep(0.5)
        await run.snapshot({})

    async def main() -> None:
        for producer in (flushes, shows):
            log = OddLog()
            async with Runs(Hub(log)) as runs:
                started = await runs.start(producer, coalesce=5.0)
                await asyncio.sleep(0.1)
                log.away = True
                await asyncio.sleep(1)
                await started.cancel()
                await asyncio.sleep(1)
                log.away = False
                assert (await started.wait()).status is RunStatus.CANCELLED
                assert texts(await told(runs, started)) == "all"

    run(main())


def test_a_finish_that_failed_can_be_tried_again() -> None:
    """With its result."""

    async def finishes(run: Run) -> None:
        with pytest.raises(LogUnavailable):
            await run.finish({"all": 1})
        await run.finish({"all": 1})

    async def main() -> None:
        log = OddLog()
        async with Runs(Hub(log)) as runs:
            started = await runs.start(finishes)
            log.away = True
            await asyncio.sleep(61)
            log.away = False
            await started.wait()
            assert counted(await told(runs, started)) == {"status": "done", "attempt": 1, "result": {"all": 1}}

    run(main())


def test_a_result_is_no_larger_than_an_event_may_be() -> None:
    """It is one."""

    async def main() -> None:
        refused = list[EncodeError]()

        async def finishes(run: Run) -> None:
            try:
                await run.finish("x" * 2_000_000)
            except EncodeError as exc:
                refused.append(exc)

        async with opened() as runs:
            await (await runs.start(finishes)).wait()
            assert refused

    run(main())


def test_nothing_is_tried_for_longer_than_its_key_is_kept() -> None:
    """Or it might be appended twice: keys go with a short `ttl`."""

    async def main() -> None:
        failed_after = list[float]()
        log, loop = OddLog(), asyncio.get_running_loop()

        async def sends(run: Run) -> None:
            await asyncio.sleep(1)
            begun = loop.time()
            with pytest.raises(LogUnavailable):
                await run.send("once")
            failed_after.append(loop.time() - begun)

        async with Runs(Hub(log), ttl=30.0) as runs:
            started = await runs.start(sends)
            log.away = True
            await asyncio.sleep(40)
            log.away = False
            await started.wait()
            assert failed_after[0] < 30

    run(main())


# Long runs.


def test_a_long_run_stays_known_and_can_be_begun_anew() -> None:
    """One that sends all the time, for longer than its `ttl`: neither its start nor its plan grows old. Not counted."""

    async def main() -> None:
        begun = list[tuple[str, int]]()
        async with two_of(ttl=60.0, max_events=3) as (one, other):
            for name, runs in (("one", one), ("other", other)):
                registered(runs, begun, name)
            started = await one.start("stay", on_orphan="restart")
            works: Any = one._works
            for _ in range(100):
                await asyncio.sleep(1)
                works._productions[started.id]._written_at = asyncio.get_running_loop().time()
            log = log_of(one).inner
            newest = {name: len(log._topics[name].entries) for name in (INDEX, CONTROL + started.id)}
            assert newest[INDEX] >= 3
            assert newest[CONTROL + started.id] >= 3
            del log._topics[CONTROL + started.id].entries[:1]
            await asyncio.sleep(300)
            assert started.status is RunStatus.RUNNING
            kill(one)
            await asyncio.sleep(DEATH)
            assert begun == [("one", 1), ("other", 2)]

    run(main())


def test_who_waits_for_a_run_that_the_log_has_lost_is_told() -> None:
    """Its process is dead, too: nobody announces it again."""

    async def main() -> None:
        async with two_of() as (one, other):
            started = await one.start(count)
            waiting = asyncio.create_task(other.wait(started.id))
            await asyncio.sleep(0.5)
            kill(one)
            log = log_of(one)
            log.lose()
            log.listener.on_doubt(None)
            with pytest.raises(RunNotFound):
                await asyncio.wait_for(waiting, DEATH)

    run(main())


# Readers.


@pytest.mark.parametrize("query", ["from=snapshot", "from=now"])
def test_a_reader_who_comes_in_an_outage_misses_nothing(query: str) -> None:
    """Where the snapshot is cannot be seen then: it gets all there is."""

    async def main() -> None:
        log = OddLog()
        async with Runs(Hub(log)) as runs:
            started = await runs.start(count)
            await started.wait()
            log.away = True
            asyncio.get_running_loop().call_later(2, setattr, log, "away", False)
            async with open_door(runs, started, query=query) as stream, asyncio.timeout(60):
                events = await stream.until_end()
            assert kinds(events)[-1] == "run-end"

    run(main())


def test_a_reader_whose_cursor_says_nothing_gets_all_of_the_run() -> None:
    """Behind a gap: no reader is left without the end."""

    async def main() -> None:
        async with opened() as runs:
            started = await runs.start(count)
            await started.wait()
            async with open_door(runs, started, cursor="rubbish") as stream, asyncio.timeout(60):
                events = await stream.until_end()
            assert events[0].event == "stream-gap"
            assert texts(events) == "0 1 2 "
            assert kinds(events)[-1] == "run-end"

    run(main())


@pytest.mark.parametrize("ahead", [0, 2], ids=["fork", "rollback"])
def test_a_reader_whose_last_events_the_log_lost_gets_the_run_anew(ahead: int) -> None:
    """The run ended otherwise since: he gets all of it with its end, and comes back to a 204."""

    async def main() -> None:
        async with opened() as runs:
            started = await runs.start(count)
            await started.wait()
            head = await log_of(runs).head(DATA + started.id)
            cursor = f"{head.epoch}.{head.seq + ahead}.deadbeef"
            async with open_door(runs, started, cursor) as stream:
                events = await stream.until_end()
            assert events[0].event == "stream-gap"
            assert texts(events) == "0 1 2 "
            last = next(event for event in events if event.event == "run-end")
            async with open_door(runs, started, last.last_event_id) as stream:
                await stream.until_end()
                assert stream.status == 204

    run(main())


def test_a_run_is_gone_at_its_ttl_whether_swept_or_not() -> None:
    """Its topic may be gone then: a reader would get nothing, or wait for ever."""

    async def main() -> None:
        async with opened(ttl=60.0) as runs:
            started = await runs.start(count)
            await started.wait()
            works: Any = runs._works
            record = works.index.get(started.id)
            works.index._records[started.id] = replace(record, ended_at=record.ended_at - 61)
            async with open_door(runs, started.id) as stream:
                await stream.until_end()
                assert stream.status == 404

    run(main())


def test_readers_who_stay_to_the_end_are_forgotten() -> None:
    """As are those who leave before."""

    async def main() -> None:
        async with opened() as runs:
            started = await runs.start(count, on_disconnect="cancel")
            async with open_door(runs, started) as stream:
                await stream.until_end()
            await asyncio.sleep(1)
            works: Any = runs._works
            assert not works.readers._here

    run(main())


def test_readers_are_told_of_until_it_is_heard() -> None:
    """The log was out of reach for longer than one try takes: a run with a reader is not cancelled."""

    async def main() -> None:
        async with two_of() as (one, other):
            started = await one.start(_long, on_disconnect=CancelWhenUnwatched(100))

            async def deaf(method: str, topic: str) -> None:
                if method == "append" and topic.startswith(CONTROL):
                    raise LogUnavailable("away")

            log_of(one).before = deaf
            async with open_door(other, started):
                await asyncio.sleep(70)
                log_of(one).before = None
                await asyncio.sleep(200)
                assert started.status is RunStatus.RUNNING

    run(main())


def test_readers_are_told_to_whoever_takes_the_run_over() -> None:
    """They were counted where it ran before, and watch it still."""

    async def main() -> None:
        begun = list[tuple[str, int]]()
        async with two_of() as (one, other):
            for name, runs in (("one", one), ("other", other)):
                registered(runs, begun, name)
            started = await one.start("stay", on_orphan="restart", on_disconnect=CancelWhenUnwatched(30))
            async with open_door(one, started):
                works: Any = one._works
                works._lease._task.cancel()  # it stands still for others, and hears of the takeover
                await until(lambda: len(begun) == 2, 2 * DEATH)
                await works._lease.open()
                await asyncio.sleep(100)
                assert (await other.info(started.id)).status is RunStatus.RUNNING
            await asyncio.sleep(100)
            assert (await other.info(started.id)).status is RunStatus.CANCELLED

    run(main())


async def _long(run: Run) -> None:
    await asyncio.sleep(10_000)
