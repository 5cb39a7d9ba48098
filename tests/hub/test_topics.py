"""The topics that a process follows: shared, opened once, kept a little, let go."""

from __future__ import annotations

import asyncio

import pytest

from tests.hub.support import Endpoint, OddLog, opened, run, turns, until
from unbroken.errors import LogUnavailable
from unbroken.hub import Hub
from unbroken.hub.counters import Counters
from unbroken.hub.topics import LINGER, Topics


async def started(log: OddLog) -> Topics:
    """Return the topics of a log that tells them."""
    topics = Topics(log, Counters())
    await log.start(topics)
    return topics


def test_readers_share_a_topic_and_its_opening() -> None:
    """However many ask at once, the log is watched and read once."""

    async def main() -> None:
        log = OddLog()
        topics = await started(log)
        log.gate = asyncio.Event()
        waiting = [asyncio.create_task(topics.acquire(["t", "u"])) for _ in range(10)]
        await turns()
        assert not any(task.done() for task in waiting)
        log.gate.set()
        taken = await asyncio.gather(*waiting)
        assert len(set(taken)) == 1
        assert [topic.name for topic in taken[0]] == ["t", "u"]
        assert log.calls["watch"] == log.calls["read"] == 2
        assert taken[0][0].users == 10
        assert len(topics) == 2
        await topics.close()

    run(main())


def test_a_topic_that_cannot_be_opened_fails_for_all_who_wait() -> None:
    """Nothing is left of it, and whoever asks next tries again."""

    async def main() -> None:
        log = OddLog()
        topics = await started(log)
        log.away = True
        results = await asyncio.gather(*(topics.acquire(["t"]) for _ in range(3)), return_exceptions=True)
        assert [type(result) for result in results] == [LogUnavailable] * 3
        assert len(topics) == 0
        log.away = False
        (topic,) = await topics.acquire(["t"])
        assert topic.users == 1
        await topics.close()

    run(main())


def test_one_of_several_that_fails_gives_the_others_back() -> None:
    """They linger like any that nobody reads."""

    async def main() -> None:
        log = OddLog()
        topics = await started(log)

        async def fail(method: str, topic: str) -> None:
            if topic == "u":
                raise LogUnavailable("no u")

        log.before = fail
        with pytest.raises(LogUnavailable, match="no u"):
            await topics.acquire(["t", "u"])
        (topic,) = topics
        assert (topic.name, topic.users) == ("t", 0)
        await asyncio.sleep(LINGER + 1)
        assert len(topics) == 0
        assert not log.watched
        await topics.close()

    run(main())


def test_who_is_cancelled_while_a_topic_opens_releases_it() -> None:
    """The opening goes on for the others; the one that left holds nothing."""

    async def main() -> None:
        log = OddLog()
        topics = await started(log)
        log.gate = asyncio.Event()
        leaving, staying = (asyncio.create_task(topics.acquire(["t"])) for _ in range(2))
        await turns()
        leaving.cancel()
        await asyncio.wait([leaving])
        assert leaving.cancelled()
        log.gate.set()
        (topic,) = await staying
        assert topic.users == 1
        topics.release((topic,))
        await asyncio.sleep(LINGER + 1)
        assert len(topics) == 0
        await topics.close()

    run(main())


def test_a_topic_lingers_for_those_on_their_way_back() -> None:
    """Within that time it is found as it was; after it the log is watched no more."""

    async def main() -> None:
        log = OddLog()
        topics = await started(log)
        (topic,) = await topics.acquire(["t"])
        topics.release((topic,))
        await asyncio.sleep(LINGER - 1)
        assert await topics.acquire(["t"]) == (topic,)
        await asyncio.sleep(LINGER + 1)
        assert list(topics) == [topic]
        topics.release((topic,))
        await asyncio.sleep(LINGER + 1)
        assert list(topics) == []
        assert not log.watched
        assert log.calls["unwatch"] == 1

    run(main())


def test_a_topic_that_is_opened_while_its_last_life_ends_is_watched() -> None:
    """It waits for the end of the one before, whose unwatch would else be its own."""

    async def main() -> None:
        log = OddLog()
        topics = await started(log)
        (old,) = await topics.acquire(["t"])
        topics.release((old,))
        leave = asyncio.Event()

        async def slowly(method: str, topic: str) -> None:
            if method == "unwatch":
                await leave.wait()

        log.before = slowly
        await asyncio.sleep(LINGER + 1)
        opening = asyncio.create_task(topics.acquire(["t"]))
        await turns()
        leave.set()
        (topic,) = await opening
        assert topic is not old
        assert log.watched == {"t"}
        await log.add("t", "x")
        await turns()
        assert topic.position.seq == 1
        await topics.close()

    run(main())


def test_hints_for_topics_that_nobody_reads_are_for_nobody() -> None:
    """A late one, after the last reader has left, does no harm."""

    async def main() -> None:
        log = OddLog()
        topics = await started(log)
        topics.on_entries("t", "aa", [], False)
        topics.on_doubt(["t"])
        topics.on_doubt(None)
        assert len(topics) == 0

    run(main())


def test_closing_lets_go_of_all() -> None:
    """Of those that are read, that linger, and that are being opened; no task and no timer is left."""

    async def main() -> None:
        log = OddLog()
        topics = await started(log)
        read, lingering = await topics.acquire(["a", "b"])
        topics.release((lingering,))
        log.gate = asyncio.Event()
        opening = asyncio.create_task(topics.acquire(["c"]))
        await turns()
        await topics.close()
        assert len(topics) == 0
        await asyncio.wait([opening])
        assert opening.cancelled()
        topics.release((read,))
        await asyncio.sleep(LINGER + 1)
        assert not [task for task in asyncio.all_tasks() if task.get_name() == "unbroken topic"]
        assert "a" not in log.watched
        assert "b" not in log.watched

    run(main())


def test_who_comes_while_a_topic_is_let_go_hears_of_everything() -> None:
    """The old watch ends late, and the new one fails at first: the stream waits, and then misses nothing."""

    async def main() -> None:
        log, leave, failed = OddLog(), asyncio.Event(), False

        async def hold(method: str, topic: str) -> None:
            nonlocal failed
            if method == "unwatch":
                await leave.wait()
            elif method == "watch" and leave.is_set() and not failed:
                failed = True
                raise LogUnavailable("away for a moment")

        async with Hub(log) as hub:
            async with opened(Endpoint(hub, "t")):
                await until(lambda: hub.stats().live == 1)
            log.before = hold
            await asyncio.sleep(LINGER + 1)
            async with opened(Endpoint(hub, "t"), wait_for_start=False) as stream:
                await turns()
                leave.set()
                await asyncio.sleep(LINGER)
                await log.add("t", "x")
                assert (await stream.next_event()).data == "x"
                assert failed

    run(main())


def test_a_topic_that_fails_to_open_when_its_reader_has_left_is_just_gone() -> None:
    """Its linger ends for nothing, and nobody hears of it."""

    async def main() -> None:
        log = OddLog()
        topics = await started(log)
        faults: list[object] = []
        asyncio.get_running_loop().set_exception_handler(lambda _, context: faults.append(context))
        log.gate = asyncio.Event()
        reader = asyncio.create_task(topics.acquire(["t"]))
        await turns()
        reader.cancel()
        await turns()
        log.away = True
        log.gate.set()
        await asyncio.sleep(LINGER + 1)
        assert (len(topics), faults) == (0, [])

    run(main())
