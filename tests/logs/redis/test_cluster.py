"""The log in a cluster."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest
from redis.crc import key_slot

from tests.engines.valkey import Valkey
from tests.engines.valkey_groups import Cluster
from tests.logs.redis.running import QUICK, eventually, opened, refusal, with_settings
from unbroken.errors import LogUnavailable
from unbroken.logs import Log, open_log
from unbroken.logs.redis.keys import Keys
from unbroken.testing.logs import LogContract, Recorder
from unbroken.testing.logs.appending import check_links
from unbroken.testing.logs.handles import drafts, everything


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """Run three primaries."""
    with Cluster(tmp_path_factory.mktemp("cluster")) as engines:
        yield engines


class TestRedisLogInACluster(LogContract):
    @pytest.fixture(autouse=True)
    def _place(self, cluster: Cluster, prefix: str) -> None:
        self.url = with_settings(cluster.url, prefix)

    def make_log(self) -> Log:
        return open_log(self.url)


def _slot(topic: str) -> int:
    return key_slot(str(Keys("any", 0).of(topic).bucket).encode())


def _topic_of(cluster: Cluster, node: int) -> str:
    """Return a topic that this primary has."""
    return next(name for name in map(str, range(1000)) if cluster.owner(_slot(name)) == node)


async def _heard(log: Log, listener: Recorder, topic: str, payload: bytes) -> None:
    await log.append(topic, drafts(payload))
    await listener.until(
        lambda: any(entry.payload == payload for entry in listener.entries(topic).values()), f"{payload!r}"
    )


def test_a_slot_that_moves_is_followed(cluster: Cluster, prefix: str) -> None:
    """While a slot moves to another node, appends, reads and hints go on, and nothing is lost or made twice."""

    async def scenario() -> None:
        topic = _topic_of(cluster, 0)
        slot = _slot(topic)
        async with opened(with_settings(cluster.url, prefix, **QUICK)) as (log, listener):
            await log.watch(topic)
            await _heard(log, listener, topic, b"before")
            appending = asyncio.create_task(_append_on(log, topic))
            await asyncio.to_thread(cluster.move, slot, cluster.nodes[0], cluster.nodes[1])
            appending.cancel()
            made = await appending
            await listener.until(lambda: bool(listener.doubts), "a doubt")
            await _heard(log, listener, topic, b"after")
            entries = await everything(log, topic)
            check_links(entries, first=1)
            payloads = [entry.payload for entry in entries]
            assert made > 0
            assert payloads[:-1] == [b"before", *(b"%d" % number for number in range(len(payloads) - 2))]
            assert made <= len(payloads) - 2 <= made + 1
        await asyncio.to_thread(cluster.move, slot, cluster.nodes[1], cluster.nodes[0])

    asyncio.run(scenario())


async def _append_on(log: Log, topic: str) -> int:
    """Append until it is cancelled, and return how many were acknowledged."""
    made = 0
    try:
        while True:
            await log.append(topic, drafts(b"%d" % made))
            made += 1
    except asyncio.CancelledError:
        return made


def test_a_node_that_dies_is_one_nodes_trouble(cluster: Cluster, prefix: str) -> None:
    """Topics of other nodes go on; its own are refused, and heard again when it has come back."""

    async def scenario() -> None:
        dead, alive = _topic_of(cluster, 2), _topic_of(cluster, 0)
        async with opened(with_settings(cluster.url, prefix, **QUICK)) as (log, listener):
            for topic in (dead, alive):
                await log.watch(topic)
                await _heard(log, listener, topic, b"before")
            cluster.nodes[2].kill()
            assert await refusal(log.append(dead, drafts(b"x")))
            await listener.until(lambda: bool(listener.troubles), "trouble")
            assert str(cluster.nodes[2].port) in str(listener.troubles[0])
            await _heard(log, listener, alive, b"meanwhile")
            cluster.nodes[0].ask("CLIENT", "KILL", "TYPE", "pubsub")
            await listener.until(lambda: any(alive in (one or ()) for one in listener.doubts), "a doubt about it")
            for number in range(20):
                await log.unwatch(alive)
                await log.watch(alive)
                await _heard(log, listener, alive, b"again %d" % number)
            await asyncio.to_thread(cluster.nodes[2].start)
            await eventually(lambda: _appends(log, dead), "the node")
            await listener.until(lambda: listener.troubles[-1] is None, "the end of the trouble")
            await _heard(log, listener, dead, b"after")
            check_links(await everything(log, dead), first=1)

    try:
        asyncio.run(scenario())
    finally:
        if cluster.nodes[2].process is None:
            cluster.nodes[2].start()
        cluster.settle()


@pytest.mark.soak
def test_a_replica_takes_over(tmp_path: Path, prefix: str) -> None:
    """When a node's replica is promoted, its topics go on there, with every event that the replica had."""

    async def scenario(cluster: Cluster) -> None:
        topic = _topic_of(cluster, 0)
        async with opened(with_settings(cluster.url, prefix, replicas=1, **QUICK)) as (log, listener):
            await log.watch(topic)
            await _heard(log, listener, topic, b"before")
            cluster.nodes[0].kill()
            # It has no replica any more that could confirm: so by another handle, and of other nodes, since it was one.
            others = with_settings(cluster.url, prefix, **QUICK)
            async with opened(others) as (other, _):
                await eventually(lambda: _appends(other, topic), "the replica")
                await listener.until(lambda: bool(listener.doubts), "a doubt")
                await listener.until(lambda: listener.troubles[-1] is None, "the end of the trouble")
                await other.append(topic, drafts(b"after"))
                entries = await everything(log, topic)
                assert (entries[0].payload, entries[-1].payload) == (b"before", b"after")
                check_links(entries, first=1)
                last = entries[-1].seq
                await listener.until(lambda: last in listener.entries(topic), "the event of the new primary")

    with Cluster(tmp_path, replicas=1) as cluster:
        asyncio.run(scenario(cluster))


async def _appends(log: Log, topic: str) -> bool:
    try:
        await log.append(topic, drafts(b"again"))
    except LogUnavailable:
        return False
    return True


def test_a_cluster_that_is_named_as_one_server(cluster: Cluster, valkey: Valkey, prefix: str) -> None:
    """Either mistake is refused with the scheme that is right."""

    async def scenario() -> None:
        async with opened(with_settings(f"redis://127.0.0.1:{cluster.nodes[0].port}", prefix)) as (log, _):
            assert "redis+cluster://" in await refusal(log.topics())
        text = await refusal(opened(with_settings(f"redis+cluster://127.0.0.1:{valkey.port}", prefix)).__aenter__())
        assert "cluster support disabled" in text

    asyncio.run(scenario())
