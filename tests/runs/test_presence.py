"""Runs that end when nobody watches them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest

from tests.runs.support import DEATH, counted, kill, open_door, opened, run, run_for_real, told, two_of, until
from unbroken.errors import ConfigurationError
from unbroken.runs import CancelWhenUnwatched, Run, RunStatus


class Upstream:
    """What a run asks for its tokens, and whether it was let go."""

    def __init__(self, pause: float = 1.0) -> None:
        self.closed = 0
        self._pause = pause

    async def tokens(self) -> AsyncIterator[str]:
        try:
            while True:
                yield "token"
                await asyncio.sleep(self._pause)
        finally:
            self.closed += 1


def now() -> float:
    """Return the loop's time."""
    return asyncio.get_running_loop().time()


def test_when_the_last_reader_leaves_the_upstream_is_closed() -> None:
    """`cancel`: not for the first of two; and at once for the last."""

    async def main() -> None:
        upstream = Upstream()
        async with opened() as runs:
            started = await runs.start(upstream.tokens, on_disconnect="cancel")
            async with open_door(runs, started) as first:
                async with open_door(runs, started) as second:
                    await second.events(2)
                await asyncio.sleep(30)
                assert upstream.closed == 0
                await first.events(2)
            left = now()
            await started.wait()
            assert now() - left < 1
            assert upstream.closed == 1
            assert counted(await told(runs, started)) == {"status": "cancelled", "attempt": 1}

    run(main())


def test_by_default_it_goes_on() -> None:
    """Neither a reader who leaves nor one who never comes stops it."""

    async def main() -> None:
        upstream = Upstream()
        async with opened() as runs:
            started = await runs.start(upstream.tokens)
            async with open_door(runs, started) as stream:
                await stream.events(2)
            await asyncio.sleep(500)
            assert started.status is RunStatus.RUNNING
            assert upstream.closed == 0

    run(main())


def test_readers_that_a_shutdown_ends_are_not_missed() -> None:
    """They cannot come back to a process that goes; its runs have `shutdown_grace` seconds all the same."""

    async def short(run: Run) -> None:
        await asyncio.sleep(15)
        await run.send("whole")

    async def main() -> None:
        async with two_of(shutdown_grace=20) as (one, other):
            started = await one.start(short, on_disconnect="cancel")
            closing = asyncio.ensure_future(asyncio.sleep(0))
            async with open_door(one, started) as stream:
                await stream.events(1)
                closing = asyncio.ensure_future(one.close())
                await asyncio.sleep(1)
            await closing
            assert counted(await told(other, started))["status"] == "done"

    run(main())


def test_it_waits_for_those_who_come_back() -> None:
    """`CancelWhenUnwatched(60)`: a reader within the minute, and it begins anew; one minute alone, and it ends."""

    async def main() -> None:
        upstream = Upstream()
        async with opened() as runs:
            started = await runs.start(upstream.tokens, on_disconnect=CancelWhenUnwatched(60))
            await asyncio.sleep(50)
            for _ in range(3):
                async with open_door(runs, started) as stream:
                    await stream.events(2)
                await asyncio.sleep(50)
            assert (await runs.active())[0].id == started.id
            await asyncio.sleep(11)
            assert started.status is RunStatus.CANCELLED

    run(main())


@pytest.mark.parametrize("seconds", [0, 30])
def test_the_first_reader_has_time_to_come(seconds: float) -> None:
    """Ten seconds at least: the answer to who started it may be on its way."""

    async def main() -> None:
        async with opened() as runs:
            started = await runs.start(Upstream().tokens, on_disconnect=CancelWhenUnwatched(seconds))
            began = now()
            await started.wait()
            assert now() - began == pytest.approx(max(seconds, 10), abs=1)

    run(main())


def test_who_was_sent_away_by_the_server_has_time_to_come_back() -> None:
    """A stream that reached its `max_age` is no reader who left: ten seconds, though `cancel` says at once."""

    async def main() -> None:
        async with opened() as runs:
            started = await runs.start(Upstream().tokens, on_disconnect="cancel")
            async with open_door(runs, started, max_age=5.0, max_age_jitter=0.0) as stream:
                await stream.until_end()
            await asyncio.sleep(8)
            assert started.status is RunStatus.RUNNING
            async with open_door(runs, started, max_age=5.0, max_age_jitter=0.0) as stream:
                await stream.until_end()
            ended = now()
            await started.wait()
            assert now() - ended == pytest.approx(10, abs=1)

    run(main())


def test_readers_at_another_process_count(tmp_path: Path) -> None:
    """The run goes on while somebody reads anywhere, and ends within a second when the last one leaves there."""

    async def main(url: str) -> None:
        upstream = Upstream(0.01)
        async with two_of(url) as (one, other):
            started = await one.start(upstream.tokens, on_disconnect="cancel")
            async with open_door(other, started) as there:
                await there.events(3)
                async with open_door(one, started) as here:
                    await here.events(3)
                await there.events(20)
                assert upstream.closed == 0
                left = now()
            async with asyncio.timeout(5):
                await started.wait()
            assert now() - left < 1
            assert upstream.closed == 1

    run_for_real(main, tmp_path)


def test_readers_of_a_dead_process_do_not_count() -> None:
    """It cannot say that they left: its silence does, after a lease, and they have ten seconds more."""

    async def main() -> None:
        async with two_of() as (one, other), AsyncExitStack() as stack:
            started = await one.start(Upstream().tokens, on_disconnect="cancel")
            stream = await stack.enter_async_context(open_door(other, started))
            await stream.events(30)
            assert started.status is RunStatus.RUNNING
            kill(other)
            async with asyncio.timeout(DEATH + 12):
                await started.wait()
            assert counted(await told(one, started))["status"] == "cancelled"

    run(main())


def test_readers_stay_with_a_run_that_begins_anew() -> None:
    """The process that takes it over finds in the log who watches, and who leaves then is the last."""
    attempts: list[int] = []

    async def main() -> None:
        async with two_of() as (one, other):
            for runs in (one, other):

                @runs.producer("endless")
                async def endless(run: Run) -> None:
                    attempts.append(run.attempt)
                    while True:
                        await run.send("x")
                        await asyncio.sleep(1)

            started = await one.start("endless", on_disconnect="cancel", on_orphan="restart")
            async with open_door(other, started) as stream:
                await stream.events(3)
                kill(one)
                await until(lambda: len(attempts) == 2)
                await asyncio.sleep(60)
                assert (await other.info(started.id)).status is RunStatus.RUNNING
            await asyncio.sleep(1)
            assert (await other.info(started.id)).status is RunStatus.CANCELLED

    run(main())


@pytest.mark.parametrize("after", [-1, float("inf"), float("nan"), "5", True, None], ids=repr)
def test_what_is_no_time_is_refused(after: Any) -> None:
    """Where it is written."""
    with pytest.raises(ConfigurationError, match="is not a time"):
        CancelWhenUnwatched(after)
