"""Small pieces, sent together."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from tests.runs.support import LosingLog, counted, engine_of, kinds, open_door, opened, run, texts, told
from unbroken import Hub
from unbroken.errors import EncodeError, LogUnavailable
from unbroken.runs import Run, Runs, RunStatus
from unbroken.runs.names import DATA


async def appends(runs: Runs, run: Run) -> int:
    """Return how many events the run's topic has, but for its own."""
    return len(kinds(await told(runs, run))) - 2


def test_text_that_comes_within_the_time_is_one_event() -> None:
    """In the log and for readers: what it says is the same. What is no text, or of another type, is its own event."""

    async def pieces(run: Run) -> None:
        for number in range(10):
            await run.send(f"{number}\n", event="token")
        await run.send({"usage": 1})
        await run.send({"usage": 2})
        await run.send("a", event="token")
        await run.send("b")
        await asyncio.sleep(1)
        await run.send("c")

    async def main() -> None:
        async with opened() as runs:
            started = await runs.start(pieces, coalesce=0.05)
            await started.wait()
            events = await told(runs, started)
            assert [(event.event, event.data) for event in events[1:-1]] == [
                ("token", "".join(f"{number}\n" for number in range(10))),
                ("message", '{"usage":1}'),
                ("message", '{"usage":2}'),
                ("token", "a"),
                ("message", "b"),
                ("message", "c"),
            ]
            assert counted(events)["status"] == "done"

    run(main())


def test_it_waits_no_longer_than_that() -> None:
    """A reader gets the first piece after `coalesce` seconds, though more may come; and nothing waits without it."""

    async def slow(run: Run) -> None:
        await run.send("a")
        await asyncio.sleep(100)

    async def main() -> None:
        async with opened() as runs:
            loop = asyncio.get_running_loop()
            for coalesce in (0.0, 0.05):
                started = await runs.start(slow, coalesce=coalesce)
                async with open_door(runs, started) as stream:
                    began = loop.time()
                    await stream.events(2)
                    assert coalesce <= loop.time() - began <= coalesce + 0.02

    run(main())


def test_much_text_does_not_wait() -> None:
    """2 KiB leave at once, and their order is kept; an event larger than the hub takes is refused where it is sent."""

    async def much(run: Run) -> None:
        for number in range(1000):
            await run.send(f"{number:03} ")
        with pytest.raises(EncodeError):
            await run.send("x" * 5000)
        await run.send("y" * 4000)
        await run.send("z" * 4000)

    async def main() -> None:
        async with opened(Hub("memory://", max_event_bytes=4100)) as runs:
            started = await runs.start(much, coalesce=1.0)
            await started.wait()
            assert asyncio.get_running_loop().time() < 1
            expected = "".join(f"{number:03} " for number in range(1000)) + "y" * 4000 + "z" * 4000
            assert texts(await told(runs, started)) == expected
            assert 6 <= await appends(runs, started) <= 10

    run(main())


@pytest.mark.parametrize("end", ["return", "finish", "raise", "cancel", "snapshot", "flush"])
def test_what_waits_is_there_in_the_end(end: str) -> None:
    """However it ends, and before a snapshot, which would say more than the events before it."""

    async def waits(run: Run) -> None:
        await run.send("a")
        await run.send("b")
        match end:
            case "finish":
                await run.finish()
            case "raise":
                raise ValueError
            case "cancel":
                await asyncio.sleep(0.5)
                await run.cancel()
                await asyncio.sleep(10)
            case "snapshot":
                await run.snapshot("ab")
            case "flush":
                await run.flush()
                await asyncio.sleep(0)
                await run.send("c")

    async def main() -> None:
        async with opened() as runs:
            started = await runs.start(waits, coalesce=5.0)
            await started.wait()
            assert asyncio.get_running_loop().time() < 1
            events = await told(runs, started)
            assert texts(events) == ("abc" if end == "flush" else "ab")
            assert kinds(events)[1] == "message"
            counted(events)

    run(main())


def test_tasks_of_one_producer_may_send_at_once() -> None:
    """Each event whole, each once, and each task's in its order."""

    async def crowd(run: Run) -> None:
        async def one(name: str) -> None:
            for number in range(20):
                await run.send(f"{name}{number}")
                await asyncio.sleep(0)

        await asyncio.gather(*map(one, "abc"))

    async def main(coalesce: float) -> None:
        async with opened() as runs:
            started = await runs.start(crowd, coalesce=coalesce)
            await started.wait()
            text = texts(await told(runs, started))
            assert len(text) == len("".join(f"{name}{number}" for name in "abc" for number in range(20)))
            for name in "abc":
                places = [text.index(f"{name}{number}") for number in range(20) if number > 9]
                assert places == sorted(places)

    run(main(0.0))
    run(main(0.02))


def test_what_failed_while_nobody_waited_is_told_by_the_next_call() -> None:
    """And the run ends with an error then, as if it had been sent without waiting."""

    async def main() -> None:
        log = LosingLog()
        raised: list[BaseException] = []

        async def sends(run: Run) -> None:
            await run.send("a")
            await asyncio.sleep(100)
            log.away = False
            try:
                await run.send("b")
            except LogUnavailable as exc:
                raised.append(exc)
                raise

        async with opened(Hub(log)) as runs:
            started = await runs.start(sends, coalesce=0.05)
            log.away = True
            assert (await started.wait()).status is RunStatus.ERROR
            assert len(raised) == 1
            assert counted(await told(runs, started))["status"] == "error"

    run(main())


def test_a_silent_run_is_not_an_old_one() -> None:
    """Its topic is kept while it runs, however long it says nothing, and so is what the index says of it."""

    async def silent(run: Run) -> None:
        await run.send("a")
        await asyncio.sleep(1000)

    async def main() -> None:
        async with opened(lease=15, ttl=100) as runs:
            started = await runs.start(silent)
            await asyncio.sleep(950)
            log: Any = engine_of(runs).log
            head = await log.head(DATA + started.id)
            assert 10 < head.seq < 25  # every half of its ttl
            async with open_door(runs, started) as stream:
                assert texts(await stream.events(2)) == "a"
                assert counted(await stream.until_end())["status"] == "done"

    run(main())


def test_what_is_joined_counts_as_it_is_appended() -> None:
    """Bytes of one event, and not of as many as there were pieces."""

    async def pieces(run: Run) -> None:
        for _ in range(4):
            for _ in range(50):
                await run.send("x", event="token")
            await run.flush()

    async def main(max_bytes: int) -> RunStatus:
        async with opened(max_bytes=max_bytes) as runs:
            return (await (await runs.start(pieces, coalesce=0.01)).wait()).status

    assert run(main(50 * 21 + 3 * 70)) is RunStatus.DONE
    assert run(main(4 * 70)) is RunStatus.ERROR
