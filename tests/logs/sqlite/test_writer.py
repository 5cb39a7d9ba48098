"""The thread that writes: every append is answered, whatever becomes of it."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.logs.sqlite.running import opened
from unbroken.errors import LogUnavailable, TopicClosed
from unbroken.logs import open_log
from unbroken.logs.sqlite.transaction import Transaction
from unbroken.logs.sqlite.writer import Writer
from unbroken.testing.logs import Recorder
from unbroken.testing.logs.handles import drafts, everything


def writer_of(log: object) -> Writer:
    """Return the log's writer."""
    writer = log._writer  # type: ignore[attr-defined]
    assert isinstance(writer, Writer)
    return writer


def _waiting(held: threading.Event, go: threading.Event) -> Callable[[Transaction], bool]:
    """Return a job that says when it is done, and lasts until it may go."""

    def work(_: Transaction) -> bool:
        held.set()
        return go.wait(5)

    return work


def test_appends_share_a_transaction(tmp_path: Path) -> None:
    """What queues while one group is written is written together: one transaction, and one hint."""

    async def scenario() -> None:
        async with opened(f"sqlite:///{tmp_path}/events.db") as (log, listener):
            await log.watch("t")
            held, go = threading.Event(), threading.Event()
            first = writer_of(log).submit(_waiting(held, go))
            await asyncio.to_thread(held.wait, 5)
            appends = [asyncio.create_task(log.append("t", drafts(b"x"))) for _ in range(100)]
            await asyncio.sleep(0)
            go.set()
            await asyncio.gather(first, *appends)
            assert [len(entries) for _, _, entries, _ in listener.told] == [100]

    asyncio.run(scenario())


def test_a_refused_append_leaves_its_group_alone(tmp_path: Path) -> None:
    """Of appends that are written together, what the contract refuses is refused, and the others succeed."""

    async def scenario() -> None:
        async with opened(f"sqlite:///{tmp_path}/events.db") as (log, _):
            await log.append("closed", [], close=True)
            appends = [log.append(topic, drafts(b"x")) for topic in ("t", "closed", "t", "closed", "t")]
            results = await asyncio.gather(*appends, return_exceptions=True)
            assert [isinstance(result, TopicClosed) for result in results] == [False, True, False, True, False]
            assert (await log.head("t")).seq == 3

    asyncio.run(scenario())


def test_a_defect_fails_its_own_call(tmp_path: Path) -> None:
    """An exception that nobody foresaw reaches whoever caused it; the thread lives on."""

    def defect(_: Transaction) -> None:
        raise ZeroDivisionError

    async def scenario() -> None:
        async with opened(f"sqlite:///{tmp_path}/events.db") as (log, _):
            broken = writer_of(log).submit(defect)
            sound = log.append("t", drafts(b"x"))
            results = await asyncio.gather(broken, sound, return_exceptions=True)
            assert isinstance(results[0], ZeroDivisionError)
            assert [entry.payload for entry in await everything(log, "t")] == [b"x"]

    asyncio.run(scenario())


def test_a_dead_thread_answers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """If the thread dies, what waits and whatever is asked later raises `LogUnavailable`; `stop` returns."""

    def die(*_: object) -> None:
        raise MemoryError("no memory")

    async def scenario() -> None:
        async with opened(f"sqlite:///{tmp_path}/events.db") as (log, _):
            await log.append("t", drafts(b"1"))
            monkeypatch.setattr(Writer, "_do", die)
            for _ in range(2):
                with pytest.raises(LogUnavailable, match="no memory"):
                    await asyncio.wait_for(log.append("t", drafts(b"2")), 5)
            with pytest.raises(LogUnavailable, match="no memory"):
                await asyncio.wait_for(log.watch("t"), 5)

    asyncio.run(scenario())


def test_stop_writes_what_has_queued(tmp_path: Path) -> None:
    """Appends that wait when `stop` is called are written, and no thread is left."""
    url = f"sqlite:///{tmp_path}/events.db"

    async def scenario() -> None:
        log = open_log(url)
        await log.start(Recorder())
        appends = [asyncio.create_task(log.append("t", drafts(b"x"))) for _ in range(1000)]
        await asyncio.sleep(0)
        await log.stop()
        assert len(await asyncio.gather(*appends)) == 1000
        async with opened(url) as (again, _):
            assert (await again.head("t")).seq == 1000

    asyncio.run(scenario())
    assert not [thread.name for thread in threading.enumerate() if thread.name.startswith("unbroken-sqlite")]


def test_another_loop_may_open_it_again(tmp_path: Path) -> None:
    """After `stop` the same log can be started on another loop."""
    log = open_log(f"sqlite:///{tmp_path}/events.db")

    async def life() -> int:
        await log.start(Recorder())
        seq = (await log.append("t", drafts(b"x"))).position.seq
        await log.stop()
        return seq

    assert [asyncio.run(life()) for _ in range(3)] == [1, 2, 3]


def test_a_loop_that_is_gone_ends_the_thread(tmp_path: Path) -> None:
    """A loop that was closed without `stop` leaves a thread that ends as soon as it has something to say."""
    loop = asyncio.new_event_loop()
    log = open_log(f"sqlite:///{tmp_path}/events.db")
    loop.run_until_complete(log.start(Recorder()))
    writer = writer_of(log)
    held, go = threading.Event(), threading.Event()
    writer.submit(_waiting(held, go))
    assert held.wait(5)
    loop.close()
    go.set()
    writer._thread.join(5)
    assert not writer._thread.is_alive()


def test_nobody_is_looked_for_while_nothing_is_watched(tmp_path: Path) -> None:
    """Other processes are followed from the first `watch` until the last topic is left."""

    async def scenario() -> None:
        async with opened(f"sqlite:///{tmp_path}/events.db") as (log, _):
            follower = writer_of(log)._follower
            assert not follower.active
            await log.watch("t")
            assert follower.active
            await log.unwatch("t")
            await log.append("t", drafts(b"x"))
            await log.append("t", drafts(b"x"))
            assert not follower.active

    asyncio.run(scenario())
