"""`publish(wait=…)`: while the log is out of reach it is tried again, and published once."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from tests.hub.support import OddLog, run
from unbroken.errors import ConfigurationError, LogUnavailable, TopicClosed
from unbroken.hub import Hub, Retention


def test_it_waits_for_the_log() -> None:
    """Also where the hub is not open yet, and the log cannot be started."""

    async def main() -> None:
        log = OddLog()
        log.away = True
        hub = Hub(log)
        publishing = asyncio.create_task(hub.publish("t", "x", wait=30.0))
        await asyncio.sleep(5.0)
        assert not publishing.done()
        assert log.calls["start"] > 3
        log.away = False
        assert (await publishing).seq == 1
        await hub.close()

    run(main())


def test_an_answer_that_was_lost_publishes_nothing_twice() -> None:
    """Without a key of the caller's, too: one is made."""

    async def main() -> None:
        log = OddLog()
        inner, failures = log.inner.append, 3

        async def append(*arguments: Any, **more: Any) -> Any:
            nonlocal failures
            appended = await inner(*arguments, **more)
            if failures:
                failures -= 1
                raise LogUnavailable("the answer was lost")
            return appended

        log.inner.append = append  # type: ignore[method-assign]
        async with Hub(log) as hub:
            assert (await hub.publish("t", "x", wait=30.0)).seq == 1
            assert (await log.inner.head("t")).seq == 1
            assert log.calls["append"] == 4

    run(main())


def test_it_gives_up_in_time() -> None:
    """With the log's own error, and not before."""

    async def main() -> None:
        log = OddLog()
        async with Hub(log) as hub:
            log.away = True
            began = asyncio.get_running_loop().time()
            with pytest.raises(LogUnavailable, match="the log is away"):
                await hub.publish("t", "x", wait=10.0)
            assert 9.9 <= asyncio.get_running_loop().time() - began <= 10.0

    run(main())


def test_what_waiting_cannot_help_is_raised_at_once() -> None:
    """A closed topic stays closed."""

    async def main() -> None:
        async with Hub("memory://") as hub:
            await hub.publish("t", "last", close=True)
            began = asyncio.get_running_loop().time()
            with pytest.raises(TopicClosed):
                await hub.publish("t", "more", wait=10.0)
            assert asyncio.get_running_loop().time() == began

    run(main())


@pytest.mark.parametrize("wait", [-1.0, 271.0, float("nan"), float("inf"), True, None, "5"])
def test_it_waits_no_longer_than_keys_are_remembered(wait: Any) -> None:
    """Or the second try would not know of the first."""
    hub = Hub("memory://", retention={"*": Retention()})
    with pytest.raises(ConfigurationError, match="is not from 0 to 270 s: so long a key is surely remembered"):
        asyncio.run(hub.publish("t", "x", wait=wait))


def test_a_log_that_hangs_does_not_hold_it_up() -> None:
    """A try that is under way at the end of the time is given up; it may be made yet, and the error says so."""

    async def main() -> None:
        log = OddLog()
        async with Hub(log) as hub:
            await hub.open()
            never = asyncio.Event()

            async def hang(method: str, topic: str) -> None:
                if method == "append":
                    await never.wait()

            log.before = hang
            with pytest.raises(LogUnavailable, match="was not published in time, and may be yet"):
                await hub.publish("t", "x", wait=3.0)
            assert asyncio.get_running_loop().time() == pytest.approx(3.0, abs=0.2)

    run(main())


def test_nobody_opens_a_hub_again_that_was_closed_meanwhile() -> None:
    """Whoever waits is told; nothing runs on behind the closed hub."""

    async def main() -> None:
        log = OddLog()
        async with Hub(log) as hub:
            await hub.publish("t", "before")
            log.away = True
            publishing = asyncio.create_task(hub.publish("t", "x", wait=60.0))
            await asyncio.sleep(1.0)
        log.away = False
        with pytest.raises(LogUnavailable):
            await publishing
        assert log.calls["start"] == 1

    run(main())
