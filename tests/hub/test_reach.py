"""A log that is out of reach is said to people once, whoever notices it."""

from __future__ import annotations

import asyncio
import logging
from contextlib import AsyncExitStack

import pytest

from tests.hub.support import Endpoint, OddLog, engine_of, opened, run, stepped, until
from unbroken.errors import LogUnavailable
from unbroken.hub import Hub
from unbroken.hub.reach import QUIET, Reach

LOST = "the log is out of reach; streams stay open, and will get what they miss: "


def test_many_streams_make_one_line(caplog: pytest.LogCaptureFixture) -> None:
    """Twenty streams and a topic that wait for the log, and one line when it goes, one when it is back."""

    async def main() -> None:
        log = OddLog()
        async with Hub(log) as hub, AsyncExitStack() as held:
            await hub.publish("t", "before")
            for number in range(20):
                app = Endpoint(hub, "t" if number else "u", after="earliest")
                await held.enter_async_context(opened(stepped(app)))
            await until(lambda: hub.stats().live == 20)
            log.away = True
            for topic in engine_of(hub).topics:
                topic.doubt()
            late = [await held.enter_async_context(opened(stepped(Endpoint(hub, "v")))) for _ in range(20)]
            await asyncio.sleep(30.0)
            assert hub.stats().trouble == "the log is away"
            log.away = False
            await until(lambda: hub.stats().live == 40)
            assert hub.stats().trouble is None
            await hub.publish("v", "x")
            await asyncio.gather(*(stream.events(1) for stream in late))

    with caplog.at_level(logging.WARNING, "unbroken"):
        run(main())
    assert [record.message for record in caplog.records] == [f"{LOST}the log is away", "the log is within reach again"]


def test_streams_that_open_meanwhile_are_not_said_one_by_one(caplog: pytest.LogCaptureFixture) -> None:
    """Each tries to hear of what others revoke: one warning of that, and one of the log."""

    async def main() -> None:
        log = OddLog(shared=True)
        async with Hub(log) as hub, AsyncExitStack() as held:
            await hub.open()
            log.away = True
            for _ in range(30):
                await held.enter_async_context(opened(stepped(Endpoint(hub, "t"))))
            await asyncio.sleep(30.0)
            log.away = False
            await until(lambda: hub.stats().live == 30)

    with caplog.at_level(logging.WARNING, "unbroken"):
        run(main())
    assert len(caplog.records) == 3


def test_what_the_log_says_of_itself_counts() -> None:
    """Before anybody has asked it for anything."""

    async def main() -> None:
        log = OddLog()
        async with Hub(log) as hub:
            await hub.open()
            log.on_trouble("no answer for 5 s")
            assert hub.stats().trouble == "no answer for 5 s"
            log.on_trouble("the connection was refused")
            assert hub.stats().trouble == "the connection was refused"
            log.on_trouble(None)
            assert hub.stats().trouble is None

    run(main())


def test_what_is_refused_and_what_is_done_count() -> None:
    """Of a log that says nothing of itself: an append, a trim; one that does is believed, and nothing else."""

    async def main() -> None:
        log = OddLog()
        async with Hub(log) as hub:
            await hub.publish("t", 1)
            log.away = True
            with pytest.raises(LogUnavailable):
                await hub.publish("t", 2)
            assert hub.stats().trouble == "the log is away"
            log.away = False
            await until(lambda: hub.stats().trouble is None)  # the keeper's round
            log.on_trouble("deaf")
            await hub.publish("t", 3)
            assert hub.stats().trouble == "deaf"
            log.on_trouble(None)
            assert hub.stats().trouble is None

    run(main())


def test_a_long_outage_is_said_however_soon_it_comes(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After one that was said a moment ago."""
    now = 1000.0
    monkeypatch.setattr("unbroken.hub.reach.time.monotonic", lambda: now)
    reach = Reach()
    with caplog.at_level(logging.WARNING, "unbroken"):
        reach.lose("a moment")
        reach.regain()
        for _ in range(60):
            now += 1.0
            reach.lose("an hour")
    assert [record.message for record in caplog.records] == [
        f"{LOST}a moment", "the log is within reach again", f"{LOST}an hour"
    ]  # fmt: skip


def test_a_log_that_comes_and_goes_does_not_fill_the_disk(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two lines in ten seconds."""
    now = 1000.0
    monkeypatch.setattr("unbroken.hub.reach.time.monotonic", lambda: now)
    reach = Reach()
    with caplog.at_level(logging.WARNING, "unbroken"):
        for _ in range(100):
            now += QUIET / 50
            reach.lose("gone")
            reach.regain()
    assert len(caplog.records) == 4
