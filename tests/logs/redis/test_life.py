"""The log in Redis with processes, loops and the hub."""

from __future__ import annotations

import asyncio
import subprocess
import sys

from tests.engines.valkey import Valkey
from tests.logs.redis.running import QUICK, eventually, opened, refusal, relayed, with_settings
from unbroken import Hub
from unbroken.logs import Draft, open_log
from unbroken.testing.logs import Recorder
from unbroken.testing.logs.handles import drafts, everything


def _python(script: str, *arguments: str) -> str:
    done = subprocess.run([sys.executable, "-c", script, *arguments], capture_output=True, text=True, timeout=30)
    assert done.returncode == 0, done.stderr
    return done.stdout


FORK = """
import asyncio, os, sys
from unbroken.logs import open_log, Draft
from unbroken.testing.logs import Recorder

async def main():
    log = open_log(sys.argv[1])
    await log.start(Recorder())
    await log.append("t", [Draft(b"parent")])
    child = os.fork()
    if not child:
        try:
            await log.append("t", [Draft(b"child")])
        except Exception as error:
            print(type(error).__name__, error, flush=True)
        await log.stop()
        os._exit(0)
    os.waitpid(child, 0)
    await log.append("t", [Draft(b"parent again")])
    await log.stop()

asyncio.run(main())
"""


def test_a_fork_leaves_its_parents_connections_alone(valkey: Valkey, prefix: str) -> None:
    """In a process that was forked the log refuses, and its parent goes on."""
    url = with_settings(valkey.url, prefix)
    told = _python(FORK, url)
    assert told.startswith("LogUnavailable")
    assert "fork" in told

    async def scenario() -> None:
        async with opened(url) as (log, _):
            assert [entry.payload for entry in await everything(log, "t")] == [b"parent", b"parent again"]

    asyncio.run(scenario())


PUBLISH = """
import asyncio, sys
from unbroken import Hub

async def main():
    async with Hub(sys.argv[1]) as hub:
        for number in range(20):
            await hub.publish("t", f"{number}")

asyncio.run(main())
"""


def test_what_one_process_publishes_another_reads(valkey: Valkey, prefix: str) -> None:
    """A hub hears of what another process publishes, live and in its order."""
    url = with_settings(valkey.url, prefix)

    async def scenario() -> None:
        async with Hub(url) as hub, hub.subscribe("t", after="earliest") as events:
            publishing = asyncio.create_task(asyncio.to_thread(_python, PUBLISH, url))
            assert [(await anext(events)).data for _ in range(20)] == [str(number) for number in range(20)]
            await publishing

    asyncio.run(scenario())


def test_a_hub_that_nobody_closed_goes_on_with_the_next_loop(valkey: Valkey, prefix: str) -> None:
    """What was published on a loop that is closed by now is there on the next."""
    hub = Hub(with_settings(valkey.url, prefix))

    async def publish(text: str) -> None:
        await hub.publish("t", text)

    async def read(count: int) -> list[str]:
        async with hub.subscribe("t", after="earliest") as events:
            return [(await anext(events)).data for _ in range(count)]

    asyncio.run(publish("one"))
    asyncio.run(publish("two"))
    assert asyncio.run(read(2)) == ["one", "two"]
    asyncio.run(hub.close())


def test_databases_do_not_hear_each_other(valkey: Valkey, prefix: str) -> None:
    """Topics of one name in two databases of a server are two, also where publications know no databases."""
    one, other = with_settings(valkey.url, prefix), with_settings(f"{valkey.url[:-2]}/1", prefix)

    async def scenario() -> None:
        async with opened(one) as (log, listener), opened(other) as (elsewhere, _):
            await log.watch("t")
            await elsewhere.append("t", drafts(b"other"))
            await log.append("t", drafts(b"own"))
            await listener.until(lambda: bool(listener.told), "an event")
            assert [entry.payload for entry in listener.entries("t").values()] == [b"own"]

    asyncio.run(scenario())


def test_many_topics_are_watched_and_heard_again(valkey: Valkey, prefix: str) -> None:
    """Two thousand topics are heard, each of them, also after the subscribed connection was killed."""
    names = [f"topic {number}" for number in range(2000)]

    async def scenario() -> None:
        async with opened(with_settings(valkey.url, prefix, **QUICK | {"timeout": 5})) as (log, listener):
            await asyncio.gather(*map(log.watch, names))
            for name in names[::2]:
                await log.unwatch(name)
            valkey.ask("CLIENT", "KILL", "TYPE", "pubsub")
            await listener.until(lambda: sum(len(one or ()) for one in listener.doubts) >= 1000, "a doubt about each")
            await asyncio.gather(*(log.append(name, [Draft(b"x")]) for name in names))
            await listener.until(lambda: len(listener.told) == 1000, "a thousand events")
            assert {topic for topic, _, _, _ in listener.told} == set(names[1::2])

    asyncio.run(scenario())


def test_a_topic_is_unwatched_and_watched_at_once(valkey: Valkey, prefix: str) -> None:
    """However fast a topic is let go and taken again, once it is watched every event of it is heard."""

    async def scenario() -> None:
        async with opened(with_settings(valkey.url, prefix, timeout=1)) as (log, listener):
            await log.watch("t")
            for turn in range(40):
                await log.unwatch("t")
                for _ in range(turn % 5):
                    await asyncio.sleep(0)
                await log.watch("t")
                await log.append("t", drafts(b"x"))
                await listener.until(lambda turn=turn: turn + 1 in listener.entries("t"), "the event")  # type: ignore[misc]

    asyncio.run(scenario())


def test_large_events_are_told_as_a_doubt(valkey: Valkey, prefix: str) -> None:
    """An event of a megabyte is not published but read: its topic is in doubt."""

    async def scenario() -> None:
        async with opened(with_settings(valkey.url, prefix)) as (log, listener):
            await log.watch("t")
            await log.append("t", drafts(b"x" * 1024 * 1024))
            await listener.until(lambda: ("t",) in listener.doubts, "a doubt")
            assert [len(entry.payload) for entry in await everything(log, "t")] == [1024 * 1024]

    asyncio.run(scenario())


def test_a_second_start_is_refused(valkey: Valkey, prefix: str) -> None:
    """A log that is open is not opened twice; one that is stopped while it starts stays closed."""

    async def scenario() -> None:
        async with opened(with_settings(valkey.url, prefix)) as (log, listener):
            assert "is open" in await refusal(log.start(listener))
        starting = asyncio.create_task(log.start(listener))
        await asyncio.sleep(0)
        await log.stop()
        assert "stopped" in await refusal(starting)
        assert "not open" in await refusal(log.topics())

    asyncio.run(scenario())


def test_a_stop_that_is_cancelled_closes_all_the_same(valkey: Valkey, prefix: str) -> None:
    """Who has less patience than a stop leaves neither a task nor a connection behind."""

    async def scenario() -> None:
        async with relayed(valkey.port) as relay:
            log = open_log(with_settings(f"redis://127.0.0.1:{relay.port}", prefix))
            await log.start(Recorder())
            await log.append("t", drafts(b"1"))
            relay.hold()
            appending = asyncio.create_task(log.append("t", drafts(b"2")))
            stopping = asyncio.create_task(log.stop())
            await asyncio.wait((appending,), timeout=0.05)
            stopping.cancel()
            await asyncio.wait((stopping,))
            relay.let_go()
            await asyncio.wait((appending,))

            async def ended() -> bool:
                return not any("unbroken redis" in task.get_name() for task in asyncio.all_tasks())

            await eventually(ended, "the end of all tasks")

    asyncio.run(scenario())


def test_another_watch_that_fails_undoes_nothing(valkey: Valkey, prefix: str) -> None:
    """A topic that is watched, and watched again in vain while the engine is away, is heard when that is back."""

    async def scenario() -> None:
        async with relayed(valkey.port) as relay:
            url = with_settings(f"redis://127.0.0.1:{relay.port}", prefix, **QUICK | {"timeout": 0.3})
            async with opened(url) as (log, listener), opened(with_settings(valkey.url, prefix)) as (other, _):
                await log.watch("t")
                relay.cut()
                await listener.until(lambda: bool(listener.troubles), "trouble")
                await refusal(log.watch("t"))
                await relay.open(relay.port)
                await listener.until(lambda: bool(listener.doubts), "a doubt")
                await other.append("t", drafts(b"after"))
                await listener.until(lambda: 1 in listener.entries("t"), "the event")

    asyncio.run(scenario())
