"""The log in a cluster of three servers, whose leader is killed again and again."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import pytest
from nats.errors import Error

from tests.engines.nats import NatsCluster
from tests.logs.nats.running import Stream, ask, eventually, opened
from unbroken.errors import LogUnavailable
from unbroken.logs import Log
from unbroken.testing.logs.appending import check_links
from unbroken.testing.logs.handles import drafts, everything

pytestmark = pytest.mark.soak

SECONDS = 40.0
KILL_INTERVAL = 3.0
LARGE = b"x" * 700_000


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[NatsCluster]:
    """Run three servers."""
    with NatsCluster(tmp_path) as servers:
        yield servers


class Play:
    """Three processes' worth of publishers and readers, and what they were told."""

    def __init__(self, logs: list[Log]) -> None:
        self.logs = logs
        self.end = time.monotonic() + SECONDS
        self.made: dict[int, bytes] = {}
        """What was acknowledged, by `seq`."""
        self.counts: Counter[str] = Counter()

    async def publish(self, number: int) -> None:
        log = self.logs[number % len(self.logs)]
        for count in range(10**6):
            if time.monotonic() > self.end:
                return
            await self._publish(log, b"%d.%d" % (number, count), f"{number}.{count}" if count % 2 else None)
            await asyncio.sleep(0.01)

    async def _publish(self, log: Log, payload: bytes, key: str | None) -> None:
        large = LARGE if payload.endswith(b"00") else b""
        try:
            appended = await log.append("t", drafts(payload + large), key=key)
        except LogUnavailable:
            self.counts["refused"] += 1
        else:
            self.made[appended.position.seq] = payload
            self.counts["acknowledged"] += 1

    async def read(self, log: Log) -> None:
        while time.monotonic() < self.end:
            newest = max(self.made, default=0)
            try:
                head = await log.head("t")
                assert head.seq >= newest, "a head is older than what was acknowledged before it was asked for"
                entries = (await log.read("t", max(0, head.seq - 50), 100)).entries
            except LogUnavailable:
                self.counts["not read"] += 1
                continue
            check_links(list(entries), first=entries[0].seq if entries else 1)
            await asyncio.sleep(0.01)

    async def kill(self, cluster: NatsCluster, stream: Stream) -> None:
        while time.monotonic() < self.end - 4 * KILL_INTERVAL:
            await asyncio.sleep(KILL_INTERVAL)
            name = await _leader(cluster, stream)
            leader = next(server for server in cluster.servers if server.folder.name == name)
            await asyncio.to_thread(leader.restart)
            self.counts["leaders killed"] += 1


@pytest.mark.timeout(180)
def test_nothing_is_lost_or_made_twice_while_leaders_die(cluster: NatsCluster, stream: Stream) -> None:
    """With three replicas each acknowledged event is there once, in its place, whichever server is killed."""

    async def scenario() -> None:
        async with _opened(cluster, stream) as logs:
            play = Play(logs)
            async with asyncio.TaskGroup() as group:
                for number in range(12):
                    group.create_task(play.publish(number))
                for log in logs:
                    group.create_task(play.read(log))
                group.create_task(play.kill(cluster, stream))
            entries = await everything(logs[0], "t")
            check_links(entries, first=1)
            payloads = Counter(entry.payload.rstrip(b"x") for entry in entries)
            kept = {entry.seq: entry.payload.rstrip(b"x") for entry in entries}
            print(dict(play.counts), "entries:", len(entries))
            assert max(payloads.values()) == 1
            assert {seq: kept.get(seq) for seq in play.made} == play.made
            assert play.counts["leaders killed"] >= 3
            assert play.counts["acknowledged"] > 100

    asyncio.run(scenario())


@asynccontextmanager
async def _opened(cluster: NatsCluster, stream: Stream) -> AsyncIterator[list[Log]]:
    """Open three logs, as soon as the servers have found each other."""
    url = stream.at(cluster.url, replicas=3, timeout=8, heartbeat_interval=1, heartbeat_timeout=2)
    async with AsyncExitStack() as stack:
        logs = list[Log]()

        async def enter() -> bool:
            logs.append((await stack.enter_async_context(opened(url)))[0])
            return len(logs) == 3

        await eventually(enter, "a stream with three replicas", timeout=60)
        yield logs


async def _leader(cluster: NatsCluster, stream: Stream) -> str:
    """Return the name of the stream's leader."""
    for server in cluster.servers:
        try:
            answer = await ask(server.url, f"STREAM.INFO.{stream.name}")
        except Error:
            continue  # nobody leads just now
        if leader := answer.get("cluster", {}).get("leader"):
            return str(leader)
    return cluster.servers[0].folder.name
