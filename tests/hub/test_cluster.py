"""What all processes do: each says it itself."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.hub.support import Endpoint, OddLog, engine_of, opened, run, stepped, until
from unbroken.errors import ConfigurationError, LogUnavailable
from unbroken.hub import ClusterStats, Hub
from unbroken.hub.cluster import MAX_TOPICS
from unbroken.hub.names import CLUSTER
from unbroken.logs import Draft


@asynccontextmanager
async def three_hubs(folder: Path) -> AsyncIterator[list[Hub]]:
    """Open three hubs on one file, as three processes do."""
    async with AsyncExitStack() as held:
        yield [await held.enter_async_context(Hub(f"sqlite:///{folder}/events.db")) for _ in range(3)]


def test_all_processes_are_counted(tmp_path: Path) -> None:
    """Each with its own figures, and the sums over all, by topic: the most first."""

    async def main() -> None:
        async with three_hubs(tmp_path) as hubs, AsyncExitStack() as held:
            read = [("room", "room", "other"), ("room",), ("other", "third")]
            for hub, topics in zip(hubs, read, strict=True):
                for topic in topics:
                    await held.enter_async_context(opened(Endpoint(hub, topic)))
                await until(lambda hub=hub, topics=topics: hub.stats().live == len(topics))  # type: ignore[misc]
                await until(engine_of(hub).cluster.follows)
            found = await hubs[0].stats(cluster=True, processes=3, timeout=10.0)
            assert sorted(process.stats.subscribers for process in found.processes) == [1, 2, 3]
            assert len({process.process for process in found.processes}) == 3
            assert found.subscribers == 6
            assert list(found.topics.items()) == [("room", 3), ("other", 2), ("third", 1)]
            named = await hubs[2].stats("third", "nobody's", cluster=True, processes=3, timeout=10.0)
            assert dict(named.topics) == {"third": 1, "nobody's": 0}
            assert named.subscribers == 6
            await until(lambda: not any(engine_of(hub).cluster._answering for hub in hubs))

    asyncio.run(main())


def test_who_has_gone_is_not_counted(tmp_path: Path) -> None:
    """Those who answer within the time are all there is."""

    async def main() -> None:
        async with three_hubs(tmp_path) as hubs:
            async with opened(Endpoint(hubs[1], "t")), opened(Endpoint(hubs[0], "t")):
                await until(lambda: hubs[0].stats().live == hubs[1].stats().live == 1)
                for hub in hubs[:2]:
                    await until(engine_of(hub).cluster.follows)
                assert (await hubs[0].stats(cluster=True, processes=2, timeout=10.0)).subscribers == 2
            await hubs[1].close()
            found = await hubs[0].stats(cluster=True, timeout=0.5)
            assert [process.stats.subscribers for process in found.processes] == [0]

    asyncio.run(main())


def test_a_log_that_is_not_shared_has_one_process() -> None:
    """It answers at once, and nothing is appended."""

    async def main() -> None:
        async with Hub("memory://") as hub, opened(stepped(Endpoint(hub, "t"))):
            await until(lambda: hub.stats().live == 1)
            found = await hub.stats(cluster=True)
            assert isinstance(found, ClusterStats)
            assert (len(found.processes), dict(found.topics)) == (1, {"t": 1})
            assert await engine_of(hub).log.topics() == ["t"]

    run(main())


def test_many_topics_are_cut_to_the_most_read() -> None:
    """An answer has a bound, whatever clients read."""

    async def main() -> None:
        async with Hub(OddLog(shared=True)) as hub, opened(stepped(Endpoint(hub, "t"))):
            await until(lambda: hub.stats().live == 1)
            engine = engine_of(hub)
            engine.cluster._names = lambda: [(f"t{number}",) for number in range(2 * MAX_TOPICS)] + [("most",)] * 2
            found = await hub.stats(cluster=True, processes=1)
            assert len(found.topics) == MAX_TOPICS
            assert next(iter(found.topics)) == "most"

    run(main())


def test_an_answer_of_another_version_is_read() -> None:
    """Figures that it does not have are 0, and those that are not known are passed over."""

    async def main() -> None:
        log = OddLog(shared=True)
        async with Hub(log) as hub:
            asking = asyncio.create_task(hub.stats(cluster=True, processes=1, timeout=5.0))
            await until(lambda: log.calls["append"] == 1)
            asked = json.loads((await log.inner.read(CLUSTER, 0, 1)).entries[0].payload)
            said = {
                "to": asked["ask"],
                "process": "old",
                "stats": {"subscribers": 5, "odd": 1},
                "subscribers": {"t": 5},
            }
            await log.inner.append(CLUSTER, [Draft(json.dumps(said).encode())])
            found = await asking
            assert found.subscribers == 5
            assert dict(found.topics) == {"t": 5}

    run(main())


def test_what_was_asked_long_ago_is_not_answered() -> None:
    """After an outage all the questions come that were missed: nobody waits for those."""

    async def main() -> None:
        log = OddLog(shared=True)
        async with Hub(log) as hub, opened(stepped(Endpoint(hub, "t"))):
            await until(lambda: hub.stats().live == 1)
            past = {"ask": "00" * 8, "topics": [], "until": time.time() - 60}
            await log.inner.append(CLUSTER, [Draft(json.dumps(past).encode())] * 500)
            await hub.stats(cluster=True, processes=1, timeout=5.0)
            assert (await log.inner.head(CLUSTER)).seq == 502

    run(main())


def test_a_log_that_hangs_holds_nobody_up() -> None:
    """The time is that of the whole question."""

    async def main() -> None:
        log = OddLog(shared=True)
        async with Hub(log) as hub:
            await hub.open()
            never = asyncio.Event()

            async def hang(method: str, topic: str) -> None:
                await never.wait()

            log.before = hang
            with pytest.raises(LogUnavailable, match=r"could not be asked within 1\.0 s"):
                await hub.stats(cluster=True, timeout=1.0)
            assert asyncio.get_running_loop().time() <= 1.1
            log.before = None

    run(main())


def test_a_log_that_is_away_cannot_ask() -> None:
    """The caller hears of it; and a process that cannot answer goes on."""

    async def main() -> None:
        log = OddLog(shared=True)
        async with Hub(log) as hub, opened(stepped(Endpoint(hub, "t"))):
            assert len((await hub.stats(cluster=True, processes=1)).processes) == 1
            log.away = True
            with pytest.raises(LogUnavailable):
                await hub.stats(cluster=True)
            log.away = False
            assert len((await hub.stats(cluster=True, processes=1)).processes) == 1

    run(main())


def test_topics_are_asked_of_all_only() -> None:
    """`stats()` of this process has no topics; what is no topic is refused."""
    hub = Hub("memory://")
    with pytest.raises(ConfigurationError, match="say cluster=True"):
        hub.stats("t")  # type: ignore[call-overload]
    odd: Any
    for odd in ({"timeout": 0}, {"timeout": float("inf")}, {"timeout": "1"}, {"processes": 0}, {"processes": "2"}):
        with pytest.raises(ConfigurationError, match=r"is no time|is no number of them"):
            asyncio.run(hub.stats(cluster=True, **odd))
    with pytest.raises(ConfigurationError, match="begins with"):
        asyncio.run(hub.stats("$revoked", cluster=True))


def test_who_only_asks_is_not_counted(tmp_path: Path) -> None:
    """A process without a stream, such as a command of somebody on call, is none of those that serve."""

    async def main() -> None:
        async with three_hubs(tmp_path) as hubs, opened(Endpoint(hubs[0], "t")):
            await until(lambda: hubs[0].stats().live == 1)
            await until(engine_of(hubs[0]).cluster.follows)
            for hub in hubs:
                (process,) = (await hub.stats(cluster=True, processes=1, timeout=10.0)).processes
                assert process.stats.subscribers == 1
            assert [engine_of(hub).cluster.follows() for hub in hubs] == [True, False, False]

    asyncio.run(main())
