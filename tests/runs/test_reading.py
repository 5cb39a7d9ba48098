"""Who may read a run, and where he begins."""

from __future__ import annotations

import asyncio
import json
from enum import Enum
from typing import Any
from uuid import UUID

import pytest
from starlette.requests import Request

from tests.runs.support import LosingLog, counted, engine_of, kinds, open_door, opened, run, texts, told, two_of
from unbroken import Hub
from unbroken.errors import ConfigurationError, LogUnavailable, RunNotFound
from unbroken.runs import SYSTEM, Run, Runs, RunStatus
from unbroken.runs.names import DATA
from unbroken.testing import open_stream


async def write(run: Run, most: int, every: int = 0) -> None:
    """Send so many numbers, and every so often a snapshot of them."""
    text = ""
    for number in range(most):
        await run.send(f"{number} ")
        text += f"{number} "
        if every and number % every == every - 1:
            await run.snapshot({"text": text})


async def _written(runs: Runs, *args: Any, **options: Any) -> Run:
    started = await runs.start(write, *args, **options)
    await started.wait()
    return started


async def status(runs: Runs, name: str, reader: Any = None, **options: Any) -> int:
    """Return what a reader is answered."""
    async with open_door(runs, name, reader=reader, **options) as stream:
        await stream.until_end()
        return int(stream.status)


@pytest.mark.parametrize("name", ["nobody", "", "a\nb", "$runs", "x" * 1000, "\ud800"], ids=repr)
def test_an_unknown_id_is_404_and_makes_nothing(name: str) -> None:
    """Whatever somebody makes up costs a look at the index, and no topic."""

    async def main() -> None:
        async with opened() as runs:
            before = set(await engine_of(runs).log.topics())
            assert await status(runs, name) == 404
            for asked in (runs.cancel(name), runs.info(name)):
                with pytest.raises(RunNotFound):
                    await asked
            assert set(await engine_of(runs).log.topics()) == before

    run(main())


def test_anothers_run_is_as_if_there_were_none() -> None:
    """The owner is asked for at each read, and is not told by type: 7 is not "7". SYSTEM may all."""

    async def main() -> None:
        async with two_of() as (one, other):
            started = await _written(one, 3, owner=7, group="g")
            running = await one.start(stay, owner=7, group="g")
            may: list[Any] = [7, SYSTEM]
            for runs in (one, other):
                for reader in (None, 8, "7", ""):
                    assert await status(runs, started.id, reader) == 404
                    assert await runs.active(group="g", reader=reader) == []
                    with pytest.raises(RunNotFound):
                        await runs.cancel(running.id, by=reader)
                for allowed in may:
                    assert await status(runs, started.id, allowed) == 200
                    assert [it.id for it in await runs.active(group="g", reader=allowed)] == [running.id]
            assert running.status is RunStatus.RUNNING
            assert (await other.cancel(running.id, by=SYSTEM)).id == running.id
            assert (await running.wait()).status is RunStatus.CANCELLED

    run(main())


class UserName(str):
    """As some give the ids of their users a type."""

    __slots__ = ()


class Names(str, Enum):  # noqa: UP042 - the older form, whose text is another
    """Or list them."""

    JANE = "jane"


def test_an_owner_may_be_a_uuid_and_what_is_none_is_refused_always() -> None:
    """As `user.id` often is; it is not its text. `True` is a mistake, also while no run has an owner."""

    async def main() -> None:
        hub, jane = Hub("memory://"), UUID(int=7)
        async with opened(hub) as runs:
            free, ended = await _written(runs, 1), await _written(runs, 1, owner=jane)
            started = await runs.start(stay, owner=jane)
            assert [it.id for it in await runs.active(reader=jane)] == [started.id]
            assert await status(runs, ended.id, jane) == 200
            assert await status(runs, ended.id, str(jane)) == 404
            async with open_door(runs, started, reader=jane) as stream:
                await stream.events(1)
                assert await hub.revoke(user=str(jane)) == 1
            for same in (UserName("jane"), Names.JANE):
                assert await status(runs, (await _written(runs, 1, owner=same)).id, "jane") == 200
            with pytest.raises(ConfigurationError, match="True is a bool"):
                await runs.info(free.id, reader=True)

    run(main())


async def stay(run: Run) -> None:
    """Produce nothing, for long."""
    await asyncio.sleep(1000)


def test_the_owner_is_not_in_the_log() -> None:
    """Only a digest of him is."""

    async def main() -> None:
        async with opened() as runs:
            await _written(runs, 3, owner="jane@example.com")
            log = engine_of(runs).log
            pages = [await log.read(name, 0, 1000) for name in await log.topics()]
            assert not any(b"jane" in entry.payload for page in pages for entry in page.entries)

    run(main())


def test_a_page_that_comes_back_finds_what_runs() -> None:
    """In its group, oldest first, with what a page shows."""

    async def main() -> None:
        async with opened() as runs:
            await _written(runs, 1, group="chat")
            first = await runs.start(stay, group="chat", id="1", on_conflict="interrupt")
            await runs.start(stay, group="other")
            (found,) = await runs.active(group="chat")
            assert (found.id, found.status, found.group, found.attempt, found.ended_at) == (
                "1", RunStatus.RUNNING, "chat", 1, None,
            )  # fmt: skip
            assert found == await runs.info("1") == first.info
            assert len(await runs.active()) == 2

    run(main())


@pytest.mark.parametrize(
    ("query", "first", "text"),
    [
        ("", "run-start", "0 1 2 3 4 5 6 "),
        ("from=start", "run-start", "0 1 2 3 4 5 6 "),
        ("from=snapshot", "run-snapshot", "6 "),
        ("from=now", "run-end", ""),
    ],
)
def test_where_a_late_reader_begins(query: str, first: str, text: str) -> None:
    """With the first event, the newest snapshot, or what comes next; and with an end in each case."""

    async def main() -> None:
        async with opened() as runs:
            started = await _written(runs, 7, 3)
            async with open_door(runs, started, query=query) as stream:
                events = await stream.until_end()
            assert kinds(events)[0] == first
            assert texts(events) == text
            assert counted(events)["status"] == "done"
            if first == "run-snapshot":
                assert json.loads(events[0].data) == {"text": "0 1 2 3 4 5 "}

    run(main())


def test_a_snapshot_is_found_however_far_back() -> None:
    """Behind a thousand events, in pages that end by their bytes; and without one all is read."""

    async def long(run: Run, snapshots: int) -> None:
        for _ in range(snapshots):
            await run.snapshot("here")
        for number in range(700):
            await run.send(f"{number} ".ljust(4000))

    async def main() -> None:
        async with opened() as runs:
            for snapshots, first in ((2, "run-snapshot"), (0, "run-start")):
                started = await runs.start(long, snapshots)
                await started.wait()
                async with open_door(runs, started, query="from=snapshot") as stream:
                    events = await stream.until_end()
                assert kinds(events)[0] == first
                assert len(events) == 703  # one snapshot or the start, 700, `run-end`, `stream-end`

    run(main())


def test_from_now_sees_what_comes() -> None:
    """Of a run that goes on: not what was, and all that will be."""

    async def halves(run: Run) -> None:
        await run.send("old")
        await asyncio.sleep(5)
        await run.send("new")

    async def main() -> None:
        async with opened() as runs:
            started = await runs.start(halves)
            await asyncio.sleep(1)
            async with open_door(runs, started, query="from=now") as stream:
                assert texts(await stream.until_end()) == "new"

    run(main())


def test_a_query_that_makes_no_sense_is_400() -> None:
    """It was written by somebody, who can read it; a header of a browser's is answered with a gap."""

    async def main() -> None:
        async with opened() as runs:
            started = await _written(runs, 2)
            assert await status(runs, started.id, query="last_event_id=undefined") == 400
            async with open_door(runs, started, cursor="undefined") as stream:
                assert (await stream.until_end())[0].event == "stream-gap"

    run(main())


def test_a_from_of_the_applications_own_is_passed_over() -> None:
    """`/reports?from=2031-01-01` starts a run; `origin` says where its reader begins, and is checked."""

    async def main() -> None:
        async with opened() as runs:
            started = await _written(runs, 3)
            async with open_door(runs, started, query="from=2031-01-01") as stream:
                assert texts(await stream.until_end()) == "0 1 2 "
            with pytest.raises(ConfigurationError, match="origin='end'"):
                await status(runs, started.id, origin="end")

    run(main())


def test_who_comes_back_has_no_snapshot_looked_for() -> None:
    """`?from=snapshot` stays in the URL of a page; with a cursor nothing is read but what follows it."""

    async def main() -> None:
        log = LosingLog()
        async with opened(Hub(log)) as runs:
            started = await _written(runs, 4)
            async with open_door(runs, started) as stream:
                end = (await stream.until_end())[-2].last_event_id
            read, log.read = log.read, None  # type: ignore[method-assign,assignment] # whoever reads fails
            assert await status(runs, started.id, query=f"from=snapshot&last_event_id={end}") == 204
            log.read = read  # type: ignore[method-assign]

    run(main())


def test_a_stream_of_its_starter_can_be_revoked() -> None:
    """`run.response` is its owner's, as `runs.response` is its reader's; or another's who is named."""

    async def main() -> None:
        hub = Hub("memory://")
        async with opened(hub) as runs:
            started = await runs.start(stay, owner="jane")
            for options, user in (({}, "jane"), ({"user": "bob"}, "bob")):

                async def streamed(scope: Any, receive: Any, send: Any, options: Any = options) -> None:
                    await started.response(Request(scope, receive), **options)(scope, receive, send)

                async with open_stream(streamed, method="POST", timeout=100.0) as stream:
                    await stream.events(1)
                    assert await hub.revoke(user=user) == 1
                    assert json.loads((await stream.until_end())[-1].data)["reason"] == "revoked"

    run(main())


def test_a_cursor_in_the_query_goes_before_from() -> None:
    """The page that reconnects keeps its URL: where it was counts, not where it began."""

    async def main() -> None:
        async with opened() as runs:
            started = await _written(runs, 4)
            async with open_door(runs, started) as stream:
                seen = await stream.events(3)
            query = f"from=start&last_event_id={seen[-1].last_event_id}"
            async with open_door(runs, started, query=query) as stream:
                assert texts(await stream.until_end()) == "2 3 "

    run(main())


def test_what_was_before_the_last_snapshot_can_be_dropped_at_the_end() -> None:
    """`compact`: a later reader gets the snapshot and what is behind it; one from before is told of a gap."""

    async def main() -> None:
        async with opened(compact=True) as runs:
            started = await _written(runs, 7, 3)
            async with open_door(runs, started) as stream:
                live = await stream.until_end()
            assert texts(live) == "0 1 2 3 4 5 6 "
            await asyncio.sleep(31)
            assert kinds(await told(runs, started)) == ["run-snapshot", "message", "run-end"]
            async with open_door(runs, started, live[1].last_event_id) as stream:
                assert kinds_and_gaps(await stream.until_end()) == ["stream-gap", "run-snapshot", "message", "run-end"]
            plain = await _written(runs, 3)
            await asyncio.sleep(31)
            assert len(await told(runs, plain)) == 5

    run(main())


def kinds_and_gaps(events: Any) -> list[str]:
    """Return the types of events, those of gaps too."""
    return [event.event for event in events if event.event != "stream-end"]


def test_whoever_has_the_run_may_read_it() -> None:
    """`run.response`: the route that started it has asked already whose it is."""

    async def main() -> None:
        async with opened() as runs:
            started = await runs.start(write, 3, owner="me")

            class Starter:
                async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
                    response = started.response(Request(scope, receive), headers={"x-mine": "1"}, heartbeat=3.0)
                    await response(scope, receive, send)

            async with open_stream(Starter(), method="POST", timeout=100.0) as stream:
                assert texts(await stream.until_end()) == "0 1 2 "
                assert stream.headers["x-mine"] == "1"
                assert stream.headers["stream-heartbeat"] == "3"
                assert stream.headers["stream-run"] == started.id

    run(main())


def test_a_log_that_is_away_is_said() -> None:
    """For an id that this process does not know: a stream is answered 503, and anything else raises."""

    async def main() -> None:
        log = LosingLog()
        async with opened(Hub(log)) as runs:
            started = await _written(runs, 2)
            log.away = True
            assert await status(runs, "other") == 503
            with pytest.raises(LogUnavailable):
                await runs.info("other")
            with pytest.raises(LogUnavailable):
                await runs.active()
            assert (await runs.info(started.id)).status is RunStatus.DONE
            log.away = False
            assert DATA + "other" not in await log.topics()

    run(main())
