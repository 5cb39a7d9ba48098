"""One run, from its start to its end, in one process."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import json
import logging
import sys
from collections.abc import AsyncIterator, Iterator
from contextvars import ContextVar
from pathlib import Path
from typing import Any

import pytest

from tests.runs.support import LosingLog, counted, kinds, open_door, opened, run, run_for_real, texts, told, until
from unbroken import Hub, ServerSentEvent
from unbroken.errors import ConfigurationError, EncodeError, RunEnded, RunLimitExceeded
from unbroken.runs import Run, Runs, RunStatus
from unbroken.wire import DecodedEvent


async def count(run: Run, most: int, pause: float = 1.0) -> None:
    """Send so many tokens, one a second."""
    for number in range(most):
        await run.send(f"{number} ", event="token")
        await asyncio.sleep(pause)


def test_a_run_is_read_live_by_whoever_comes_back_and_answers_204_in_the_end() -> None:
    """The first reader leaves, and misses nothing: he goes on behind his last id; with the last one he is told to stop.

    The run itself does not notice.
    """

    async def main() -> None:
        async with opened() as runs:
            started = await runs.start(count, 5)
            async with open_door(runs, started) as stream:
                first = await stream.events(3)
            await asyncio.sleep(2)
            async with open_door(runs, started, first[-1].last_event_id) as stream:
                assert stream.headers["stream-run"] == started.id
                rest = await stream.until_end()
            assert texts(first + rest) == "0 1 2 3 4 "
            assert counted(first + rest) == {"status": "done", "attempt": 1}
            assert kinds(first)[0] == "run-start"
            assert json.loads(first[0].data) == {"run": started.id, "attempt": 1}
            assert started.status is RunStatus.DONE
            end = next(event for event in rest if event.event == "run-end")
            async with open_door(runs, started, end.last_event_id) as stream:
                await stream.until_end()
                assert stream.status == 204
            async with open_door(runs, started) as stream:
                assert texts(await stream.until_end()) == "0 1 2 3 4 "

    run(main())


def test_a_run_in_a_file(tmp_path: Path) -> None:
    """The same over SQLite: two readers at once, one of whom comes back, see the same."""

    async def main(url: str) -> None:
        async with opened(Hub(url)) as runs:
            started = await runs.start(count, 20, 0.01)
            async with open_door(runs, started) as stays:
                async with open_door(runs, started) as leaves:
                    seen = await leaves.events(5)
                async with open_door(runs, started, seen[-1].last_event_id) as returns:
                    seen += await returns.until_end()
                whole = await stays.until_end()
            assert texts(whole) == texts(seen) == "".join(f"{number} " for number in range(20))
            assert counted(whole) == counted(seen)
            assert (await started.wait()).status is RunStatus.DONE

    run_for_real(main, tmp_path)


async def generate(most: int) -> AsyncIterator[Any]:
    """Yield an event of each kind."""
    yield "plain"
    yield ("token", {"n": most})
    yield ServerSentEvent("whole", event="kind")
    yield ["a", "b", "c"]


class Endless:
    """An asynchronous iterable with nothing to close."""

    def __init__(self) -> None:
        self.left = 2

    def __aiter__(self) -> Endless:
        return self

    async def __anext__(self) -> str:
        self.left -= 1
        if self.left < 0:
            raise StopAsyncIteration
        return "x"


@pytest.mark.parametrize("kind", ["function", "object", "through a function"])
def test_what_is_yielded_is_sent(kind: str) -> None:
    """A generator that somebody has already is a producer as it is: data, pairs and events."""

    async def main() -> None:
        async with opened() as runs:
            made = {
                "function": lambda: runs.start(generate, 3),
                "object": lambda: runs.start(generate(3)),
                "through a function": lambda: runs.start(lambda run, most: generate(most), 3),
            }
            started = await made[kind]()
            await started.wait()
            events = (await told(runs, started))[1:-1]
            assert [(event.event, event.data) for event in events] == [
                ("message", "plain"), ("token", '{"n":3}'), ("kind", "whole"), ("message", '["a","b","c"]'),
            ]  # fmt: skip
            assert texts(await told(runs, await _ended(runs, Endless()))) == "xx"

    run(main())


async def _ended(runs: Runs, producer: Any) -> Run:
    started = await runs.start(producer)
    await started.wait()
    return started


def test_a_producer_runs_in_a_context_of_its_own() -> None:
    """It outlives the request, whose variables it would hold, and might trust."""
    user = ContextVar("user", default="nobody")

    async def who(run: Run) -> None:
        await run.send(user.get())

    async def main() -> None:
        async with opened() as runs:
            user.set("somebody")
            assert texts(await told(runs, await _ended(runs, who))) == "nobody"

    run(main())


def not_async(run: Run) -> Iterator[str]:
    """Yield as a generator does that blocks."""
    yield "a"


async def with_run(run: Run) -> AsyncIterator[str]:
    """Yield, and want to be given the run, which a generator has no use for."""
    yield "a"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"producer": 5}, "the producer is a int"),
        ({"producer": "nobody"}, "no producer 'nobody'"),
        ({"args": (1,), "producer": Endless()}, "takes no arguments"),
        ({"producer": not_async}, "give from_iterable"),
        ({"args": ()}, "missing a required argument: 'most'. It is given the run and its arguments, here 0"),
        ({"args": (), "producer": with_run}, "its arguments alone"),
        ({"args": (), "producer": lambda: count}, "too many positional arguments"),
        ({"id": ""}, "id='' is none"),
        ({"id": "a\nb"}, "is none"),
        ({"id": "x" * 129}, "1 to 128"),
        ({"group": 5}, "group=5"),
        ({"owner": 1.5}, "an owner is a str, an int or a UUID"),
        ({"on_conflict": "wait"}, "on_conflict='wait'"),
        ({"on_orphan": "ignore"}, "on_orphan='ignore'"),
        ({"on_orphan": "restart"}, "register it"),
        ({"on_disconnect": "stop"}, "on_disconnect='stop'"),
        ({"timeout": 0}, "timeout=0"),
        ({"coalesce": -1}, "coalesce=-1"),
        ({"max_attempts": 0}, "max_attempts=0"),
        ({"max_bytes": 0}, "max_bytes=0"),
        ({"ttl": 29.0}, "ttl=29 for one run: give two leases, 30 s, to 3600 s"),
        ({"ttl": 3601.0}, "to 3600 s"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_cannot_work_is_refused_where_it_is_started(arguments: dict[str, Any], words: str) -> None:
    """With the value and the way out; and nothing has begun."""

    async def main() -> None:
        async with opened() as runs:
            given = {"producer": count, "args": (1,), **arguments}
            with pytest.raises(ConfigurationError, match=words):
                await runs.start(given.pop("producer"), *given.pop("args"), **given)
            assert await runs.active() == []

    run(main())


def test_what_a_producer_returns_is_for_nobody_and_is_warned_of(caplog: pytest.LogCaptureFixture) -> None:
    """Not dropped in silence; and not told to all readers, for it may be anything."""

    async def returning(run: Run) -> str:
        await run.send("a")
        return "secret"

    async def main() -> list[DecodedEvent]:
        async with opened() as runs:
            return await told(runs, await _ended(runs, returning))

    events = run(main())
    assert counted(events) == {"status": "done", "attempt": 1}
    assert "secret" not in str(events)
    assert "returned a str, which is for nobody: send it, or run.finish(result)" in caplog.text


def test_a_decorator_may_give_some_of_the_arguments() -> None:
    """What can be called is called: the signature of what it wraps says nothing of that."""

    def with_session(function: Any) -> Any:
        @functools.wraps(function)
        async def wrapper(run: Run, *args: object) -> None:
            await function(run, "session", *args)

        return wrapper

    @with_session
    async def answer(run: Run, session: str, question: str) -> None:
        await run.send(f"{session} {question}")

    async def main() -> str:
        async with opened() as runs:
            started = await runs.start(answer, "why")
            await started.wait()
            return texts(await told(runs, started))

    assert run(main()) == "session why"


def test_a_cancellation_that_nobody_asked_for_is_an_error(caplog: pytest.LogCaptureFixture) -> None:
    """What the producer waited for was cancelled: that is no `cancelled` run, and the log says where."""

    async def waiting(run: Run) -> None:
        other = asyncio.create_task(asyncio.sleep(1))
        other.cancel()
        await other

    async def main() -> dict[str, Any]:
        async with opened() as runs:
            return counted(await told(runs, await _ended(runs, waiting)))

    assert run(main()) == {"status": "error", "attempt": 1}
    assert "the producer of run" in caplog.text


def test_a_producer_does_not_end_the_process(caplog: pytest.LogCaptureFixture) -> None:
    """`sys.exit` in a library that it calls ends its own run, and the others go on."""

    async def leaving(run: Run) -> None:
        sys.exit("bad arguments")

    async def main() -> dict[str, Any]:
        async with opened() as runs:
            return counted(await told(runs, await _ended(runs, leaving)))

    assert run(main()) == {"status": "error", "attempt": 1}
    assert "SystemExit('bad arguments')" in caplog.text


def test_a_coroutine_is_told_from_its_function() -> None:
    """`start(answer(prompt))` is refused, and warns of nothing besides."""

    async def main() -> None:
        async with opened() as runs:
            with pytest.raises(ConfigurationError, match=r"the coroutine count\(\): give the function"):
                await runs.start(count(None, 1))  # type: ignore[arg-type]

    run(main())


def test_runs_have_to_be_open() -> None:
    """Without a lifespan nobody would end them: that is said at the first use."""

    async def main() -> None:
        runs = Runs(Hub("memory://"))
        with pytest.raises(ConfigurationError, match=r"lifespan=runs\.lifespan"):
            await runs.start(count, 1)
        async with runs:
            with pytest.raises(ConfigurationError, match="open already"):
                await runs.open()

    run(main())


def test_a_producers_failure_ends_its_run_without_its_words(caplog: pytest.LogCaptureFixture) -> None:
    """Readers are told that it failed, the log of the process is told why, and what was sent stays."""

    async def fail(run: Run) -> None:
        await run.send("some")
        raise ValueError("the secret of the database")

    async def main() -> None:
        async with opened() as runs:
            started = await _ended(runs, fail)
            events = await told(runs, started)
            assert counted(events) == {"status": "error", "attempt": 1}
            assert texts(events) == "some"
            assert started.status is RunStatus.ERROR
            async with open_door(runs, started) as stream:
                await stream.until_end()
                assert b"secret" not in stream.received

    with caplog.at_level(logging.ERROR, "unbroken"):
        run(main())
    assert any(record.exc_info and "secret" in str(record.exc_info[1]) for record in caplog.records)


def test_a_result_stands_in_the_last_event() -> None:
    """Nothing comes after it: what is sent then is refused. The producer may go on with what it has to do."""
    refused, went_on = list[Exception](), list[str]()

    async def finish(run: Run) -> None:
        await run.send("some")
        with pytest.raises(EncodeError):
            await run.finish(object())
        await run.finish({"tokens": 1})
        for late in (run.send("more"), run.snapshot("all"), run.finish()):
            with pytest.raises(RunEnded) as caught:
                await late
            refused.append(caught.value)
        await asyncio.sleep(5)
        went_on.append(run.status)

    async def main() -> None:
        async with opened() as runs:
            started = await runs.start(finish)
            assert (await started.wait()).status is RunStatus.DONE
            assert counted(await told(runs, started)) == {"status": "done", "attempt": 1, "result": {"tokens": 1}}
            await asyncio.sleep(10)
            assert len(refused) == 3
            assert went_on == ["done"]
            assert kinds(await told(runs, started)) == ["run-start", "message", "run-end"]

    run(main())


def test_a_runs_own_events_are_nobody_elses() -> None:
    """A producer cannot make readers believe that it has ended."""

    async def forge(run: Run) -> None:
        for attempt in (
            run.send({}, event="run-end"),
            run.send(ServerSentEvent("x", event="run-start")),
            run.send("x", event="stream-end"),
        ):
            with pytest.raises(EncodeError):
                await attempt
        await run.finish("honest")

    async def main() -> None:
        async with opened() as runs:
            assert counted(await told(runs, await _ended(runs, forge)))["result"] == "honest"

    run(main())


def test_too_much_ends_it_with_what_it_has() -> None:
    """A run is never trimmed: at its bound it ends, visibly, even if the producer looks away."""
    seen = []

    async def flood(run: Run) -> None:
        for _ in range(100):
            try:
                await run.send("x" * 10)
            except RunLimitExceeded as exc:
                seen.append(str(exc))

    async def main(**bounds: Any) -> int:
        async with opened(**bounds) as runs:
            events = await told(runs, await _ended(runs, flood))
            assert counted(events) == {"status": "error", "attempt": 1, "reason": "limit"}
            return len(texts(events))

    assert run(main(max_events=7)) == 70
    assert "has sent 7 events" in seen[0]
    assert run(main(max_bytes=100)) == 50  # 17 bytes each, as encoded


def test_who_looks_away_from_a_bound_cannot_finish() -> None:
    """What was cut off is not `done`."""

    async def flood(run: Run) -> None:
        with contextlib.suppress(RunLimitExceeded):
            for _ in range(100):
                await run.send("x" * 10)
        await run.finish("all of it")

    async def main() -> dict[str, Any]:
        async with opened(max_events=7) as runs:
            return counted(await told(runs, await _ended(runs, flood)))

    assert run(main()) == {"status": "error", "attempt": 1, "reason": "limit"}


def test_its_time_is_bounded() -> None:
    """After `timeout` it is cancelled, may clean up, and say a last word."""

    async def endless(run: Run) -> None:
        try:
            await count(run, 1000)
        finally:
            await asyncio.sleep(3)
            await run.send("bye")

    async def main() -> None:
        async with opened() as runs:
            started = await runs.start(endless, timeout=2.5)
            events = await told(runs, await _wait(started))
            assert counted(events) == {"status": "timeout", "attempt": 1}
            assert texts(events) == "0 1 2 bye"
            assert asyncio.get_running_loop().time() == pytest.approx(5.5, abs=0.2)

    run(main())


async def _wait(started: Run) -> Run:
    await started.wait()
    return started


def test_a_producer_that_does_not_end_is_left_behind(caplog: pytest.LogCaptureFixture) -> None:
    """Readers wait `cleanup_timeout` seconds for it, and no more; what it sends then is refused."""
    after = []

    async def stubborn(run: Run) -> None:
        for _ in range(2):
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.sleep(100)
        try:
            await run.send("too late")
        except RunEnded:
            after.append("refused")

    async def main() -> None:
        async with opened(cleanup_timeout=4) as runs:
            started = await runs.start(stubborn)
            await asyncio.sleep(1)
            await runs.cancel(started.id)
            await started.wait()
            assert asyncio.get_running_loop().time() == pytest.approx(5, abs=0.2)
            assert counted(await told(runs, started))["status"] == "cancelled"
            await until(lambda: bool(after))
            assert counted(await told(runs, started))["status"] == "cancelled"

    with caplog.at_level(logging.WARNING, "unbroken"):
        run(main())
    assert "is left behind" in caplog.text
    assert after == ["refused"]


def test_a_log_that_is_away_for_a_while_costs_time_and_nothing_else() -> None:
    """What was appended without the answer's coming back is not appended again: its key is known."""

    async def main() -> None:
        log = LosingLog()
        async with opened(Hub(log)) as runs:
            started = await runs.start(count, 6)
            await asyncio.sleep(0.5)
            log.losing = 2
            await asyncio.sleep(2)
            log.away = True
            await asyncio.sleep(20)
            log.away = False
            await started.wait()
            events = await told(runs, started)
            assert texts(events) == "0 1 2 3 4 5 "
            assert counted(events)["status"] == "done"

    run(main())


def test_a_log_that_stays_away_is_told_to_the_producer_and_the_end_is_written_when_it_is_back() -> None:
    """Two minutes later: the run is not left without an end in a process that lives."""

    async def main() -> None:
        log = LosingLog()
        async with opened(Hub(log)) as runs:
            started = await runs.start(count, 1000)
            await asyncio.sleep(2.5)
            log.away = True
            await asyncio.sleep(300)
            log.away = False
            assert (await asyncio.wait_for(started.wait(), 60)).status is RunStatus.LOST
            assert counted(await told(runs, started))["status"] == "lost"
            assert texts(await told(runs, started)).startswith("0 1 2 ")

    run(main())
