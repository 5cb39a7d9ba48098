"""Publishing: from the loop, from threads, from code without one; once, with a key."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import textwrap
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from tests.hub.support import Endpoint, OddLog, opened
from unbroken.errors import ConfigurationError, EncodeError, LogUnavailable, TopicClosed
from unbroken.hub import Hub, Position

DEADLINE = 20.0


def texts_of(hub: Hub, topic: str, count: int) -> list[str]:
    """Return what is in a topic, on a loop of its own."""

    async def read() -> list[str]:
        async with hub, asyncio.timeout(DEADLINE):
            subscription = hub.subscribe(topic, after="earliest")
            got = [(await anext(subscription)).data for _ in range(count)]
            await subscription.aclose()
            return got

    return asyncio.run(read())


def test_publish_returns_the_position() -> None:
    """Numbers without a hole, tags at random, one epoch; `str` of it is the id on the wire."""

    async def main() -> None:
        async with Hub("memory://") as hub:
            positions = [await hub.publish("t", number) for number in range(3)]
            assert [position.seq for position in positions] == [1, 2, 3]
            assert len({position.epoch for position in positions}) == 1
            assert len({position.tag for position in positions}) == 3
            assert Position.parse(str(positions[0])) == positions[0]

    asyncio.run(main())


def test_a_key_publishes_once() -> None:
    """The second call does nothing and returns the first one's position; topics have keys of their own."""

    async def main() -> None:
        async with Hub("memory://") as hub:
            first = await hub.publish("t", "a", key="k")
            assert await hub.publish("t", "b", key="k") == first
            assert await hub.publish("u", "c", key="k") != first
            assert (await hub.publish("t", "d", key="l")).seq == 2
            stats = hub.stats()
            assert (stats.published, stats.duplicates) == (3, 1)
            await hub.publish("t", "end", key="end", close=True)
            assert (await hub.publish("t", "end", key="end", close=True)).seq == 3

    asyncio.run(main())


@pytest.mark.parametrize("key", ["", "x" * 513, 7, b"k"])
def test_what_is_no_key_is_refused(key: Any) -> None:
    """The text shows it, cut short."""
    with pytest.raises(ConfigurationError, match="is none: give a str of 1 to 512 characters, or None") as caught:
        asyncio.run(Hub("memory://").publish("t", "x", key=key))
    assert len(str(caught.value)) < 120


def test_what_cannot_be_published_leaves_nothing() -> None:
    """Neither a topic nor an open hub."""
    log = OddLog()
    hub = Hub(log, max_event_bytes=50)
    for topic, data, error in (("", "x", ConfigurationError), ("t", "x" * 50, EncodeError), ("t", b"x", EncodeError)):
        with pytest.raises(error):
            asyncio.run(hub.publish(topic, data))
    assert log.calls == {}


def test_a_closed_topic_takes_nothing_more() -> None:
    """The error names the topic."""

    async def main() -> None:
        async with Hub("memory://") as hub:
            await hub.publish("t", "last", close=True)
            with pytest.raises(TopicClosed, match="topic 't' was closed"):
                await hub.publish("t", "more")
            assert hub.stats().published == 1

    asyncio.run(main())


def test_threads_publish_on_the_loop_where_the_hub_is_open() -> None:
    """Each in its own order, and those who stream see it."""

    async def main() -> None:
        async with Hub("memory://") as hub, opened(Endpoint(hub, "t"), timeout=DEADLINE) as stream:

            def work(thread: int) -> list[int]:
                return [hub.publish_sync("t", [thread, number]).seq for number in range(20)]

            with ThreadPoolExecutor(4) as pool:
                loop = asyncio.get_running_loop()
                done = await asyncio.gather(*(loop.run_in_executor(pool, work, thread) for thread in range(4)))
                assert sorted(seq for seqs in done for seq in seqs) == list(range(1, 81))
                events = await stream.events(80)
            for thread in range(4):
                mine = [event.data for event in events if event.data.startswith(f"[{thread},")]
                assert mine == [f"[{thread},{number}]" for number in range(20)]

    asyncio.run(main())


def test_code_without_a_loop_publishes_too() -> None:
    """On a loop of the hub's own; when the application's loop opens the hub, it goes over to that with its topics."""
    hub = Hub("memory://")
    first = hub.publish_sync("t", "from a script", event="e", key="k")
    assert hub.publish_sync("t", "again", key="k") == first
    assert hub._home._background is not None
    thread = hub._home._background._thread
    assert texts_of(hub, "t", 1) == ["from a script"]
    thread.join(DEADLINE)
    assert not thread.is_alive()
    assert hub.publish_sync("t", "after").seq == 2
    asyncio.run(hub.close())


def test_a_transaction_on_the_loop_would_wait_for_itself() -> None:
    """Whoever holds the topic may be a task of the loop that waits: it is refused there, as without one."""

    async def main() -> None:
        async with Hub("memory://") as hub:
            with pytest.raises(ConfigurationError, match="would block this event loop"):
                hub.publish_sync("t", "x", within=object())
            with pytest.raises(ConfigurationError, match="needs a log in the database of that connection"):
                await hub.publish("t", "x", within=object())
            with pytest.raises(ConfigurationError, match="give one of wait= and within="):
                await hub.publish("t", "x", within=object(), wait=1.0)
        with pytest.raises(ConfigurationError, match="this hub has a MemoryLog"):
            await asyncio.to_thread(hub.publish_sync, "t", "x", within=object())

    asyncio.run(main())


def test_many_threads_begin_together() -> None:
    """Without a loop, all with the first event at once: one background serves them, and nothing is refused."""
    before = set(threading.enumerate())
    for _ in range(10):
        hub, ready = Hub("memory://"), threading.Barrier(8)

        def work(number: int, hub: Hub = hub, ready: threading.Barrier = ready) -> int:
            ready.wait(DEADLINE)
            return hub.publish_sync("t", number).seq

        with ThreadPoolExecutor(8) as pool:
            assert sorted(pool.map(work, range(8))) == list(range(1, 9))
        asyncio.run(hub.close())
        assert set(threading.enumerate()) <= before


def test_on_a_loop_it_is_refused() -> None:
    """It would wait for itself; the text says what to do."""

    async def main() -> None:
        async with Hub("memory://") as hub:
            with pytest.raises(ConfigurationError, match=r"would block this event loop: await publish\(\) instead"):
                hub.publish_sync("t", "x")
            assert hub.stats().published == 0

    asyncio.run(main())


def test_what_takes_too_long_says_so() -> None:
    """It may be published all the same: with a key it can be tried again."""
    log = OddLog()
    hub = Hub(log)
    hub.publish_sync("t", "0")

    async def slowly(method: str, topic: str) -> None:
        await asyncio.sleep(1000)

    log.before = slowly
    with pytest.raises(LogUnavailable, match=r"not published within 0.05 s; it may be yet"):
        hub.publish_sync("t", "x", key="k", timeout=0.05)
    log.before = None
    assert hub.publish_sync("t", "x", key="k").seq == 2
    asyncio.run(hub.close())


def test_errors_come_back_to_the_thread() -> None:
    """As `publish` raises them."""
    hub = Hub("memory://")
    with pytest.raises(EncodeError):
        hub.publish_sync("t", b"bytes")
    with pytest.raises(ConfigurationError):
        hub.publish_sync("", "x")
    hub.publish_sync("t", "last", close=True)
    with pytest.raises(TopicClosed):
        hub.publish_sync("t", "more")
    asyncio.run(hub.close())


def test_a_loop_that_ended_without_closing_is_no_obstacle() -> None:
    """A script may call `asyncio.run` several times, and publish in between."""
    hub = Hub("memory://")
    assert asyncio.run(hub.publish("t", "0")).seq == 1
    assert hub.publish_sync("t", "1").seq == 2
    assert asyncio.run(hub.publish("t", "2")).seq == 3
    assert hub._home._background is None
    assert texts_of(hub, "t", 3) == ["0", "1", "2"]


FORKING = """
    import asyncio, os, sys, warnings
    from unbroken.errors import LogUnavailable
    from unbroken.hub import Hub

    warnings.simplefilter("ignore", DeprecationWarning)  # that forking with threads is a risk is what this is about
    hub = Hub(f"sqlite:///{sys.argv[1]}")
    if sys.argv[2] == "open":
        assert hub.publish_sync("t", "parent 1", timeout=10).seq == 1
    child = os.fork()
    if not child:
        try:
            if sys.argv[2] == "open":
                for publish in (hub.publish_sync, lambda *event: asyncio.run(hub.publish(*event))):
                    try:
                        publish("t", "child")
                    except LogUnavailable as exc:
                        assert "forked" in str(exc), exc
                    else:
                        raise AssertionError("acknowledged, and lost when the parent closes")
            else:
                assert hub.publish_sync("t", "child 1", timeout=10).seq == 1
                assert asyncio.run(hub.publish("t", "child 2")).seq == 2
                asyncio.run(hub.close())
        except BaseException as exc:
            print(f"child: {exc!r}", flush=True)
            os._exit(1)
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert hub.publish_sync("t", "parent 2", timeout=10).seq == (2 if sys.argv[2] == "open" else 3)
    asyncio.run(hub.close())
    print("done")
"""


@pytest.mark.parametrize("state", ["made", "open"])
def test_a_forked_process_opens_a_hub_for_itself_that_was_not_open(state: str, tmp_path: Any) -> None:
    """It has a thread of its own. Where its parent has the file open it is refused: its locks would be none."""
    program = textwrap.dedent(FORKING)
    command = [sys.executable, "-c", program, str(tmp_path / "events.db"), state]
    done = subprocess.run(command, capture_output=True, text=True, timeout=DEADLINE, check=False)
    assert (done.stdout, done.stderr, done.returncode) == ("done\n", "", 0)


def test_publishing_gives_the_loop_turns() -> None:
    """A log in memory never waits: whoever publishes without end would else be the only one to run."""

    async def main() -> None:
        async with Hub("memory://") as hub, opened(Endpoint(hub, "t"), buffer_messages=5000) as stream:
            turns, ticking = 0, True

            async def tick() -> None:
                nonlocal turns
                while ticking:
                    turns += 1
                    await asyncio.sleep(0)

            ticker = asyncio.create_task(tick())
            for number in range(5000):
                await hub.publish("t", number)
            seen = turns
            ticking = False
            await ticker
            assert seen >= 5000 // 100
            assert [event.data for event in await stream.events(5000)] == [str(number) for number in range(5000)]
            assert hub.stats().gaps == {}

    asyncio.run(asyncio.wait_for(main(), DEADLINE))
