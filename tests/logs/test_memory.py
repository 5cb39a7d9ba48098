"""The log in memory."""

from __future__ import annotations

import asyncio

import pytest

from unbroken.errors import ConfigurationError
from unbroken.logs import Retention, open_log
from unbroken.logs.memory import MemoryLog
from unbroken.testing.logs import LogContract, Recorder
from unbroken.testing.logs.handles import drafts, everything


class TestMemoryLog(LogContract):
    def make_log(self) -> MemoryLog:
        return MemoryLog()


def test_it_is_told_before_append_returns() -> None:
    """The listener hears of an entry inside `append`, when it can be read already."""

    async def scenario() -> None:
        log, listener = MemoryLog(), Recorder()
        await log.start(listener)
        await log.watch("t")
        append = log.append("t", drafts(b"x"))
        with pytest.raises(StopIteration):
            append.send(None)
        assert list(listener.entries("t")) == [1]

    asyncio.run(scenario())


def test_another_loop_finds_what_one_has_left() -> None:
    """After `stop` the log can be started on another loop, and has kept its topics, but watches none."""
    log = MemoryLog()

    async def life() -> tuple[str, int, int]:
        listener = Recorder()
        await log.start(listener)
        await log.append("t", drafts(b"x"))
        await log.watch("t")
        head = await log.head("t")
        await log.stop()
        return head.epoch, head.seq, len(listener.told)

    first, second = asyncio.run(life()), asyncio.run(life())
    assert (first[0], first[1:], second[1:]) == (second[0], (1, 0), (2, 0))


def test_each_life_has_another_epoch() -> None:
    """What another process would make anew has another epoch: who comes back to it is told of a gap."""

    async def scenario() -> None:
        one, other = MemoryLog(), MemoryLog()
        await one.start(Recorder())
        await other.start(Recorder())
        assert (await one.head("t")).epoch != (await other.head("t")).epoch

    asyncio.run(scenario())


def test_a_forgotten_topic_is_a_doubt() -> None:
    """Who watches a topic that is forgotten is told to look."""

    async def scenario() -> None:
        log, listener = MemoryLog(), Recorder()
        await log.start(listener)
        await log.watch("t")
        await log.head("t")
        await asyncio.sleep(0.01)
        await log.trim("t", Retention(forget_after=0.001))
        assert listener.doubts == [("t",)]

    asyncio.run(scenario())


def test_memory_keeps_nothing_of_what_was_trimmed() -> None:
    """Entries and keys that a trim took are gone from the memory too."""

    async def scenario() -> None:
        log = MemoryLog()
        await log.start(Recorder())
        for number in range(100):
            await log.append("t", drafts(b"x"), key=str(number))
        await asyncio.sleep(0.01)
        await log.trim("t", Retention(max_events=1, key_age=0.001))
        kept = log._topics["t"]
        assert (len(kept.entries), len(kept.keys), kept.size) == (1, 0, 1)
        assert len(await everything(log, "t")) == 1

    asyncio.run(scenario())


@pytest.mark.parametrize("url", ["memory://name", "memory:///path", "memory://?size=3"])
def test_a_url_that_asks_for_more_is_refused(url: str) -> None:
    """A log in memory has no settings; what is not understood is not passed over."""
    with pytest.raises(ConfigurationError, match="give 'memory://' alone"):
        open_log(url)
