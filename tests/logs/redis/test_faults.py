"""What the log in Redis does when the engine, or the way to it, fails."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.engines.valkey import Valkey
from tests.logs.redis.running import QUICK, eventually, opened, refusal, with_settings
from unbroken.logs import Log
from unbroken.testing import Fault, ThreadedFaultProxy, running_proxy
from unbroken.testing.logs import Recorder
from unbroken.testing.logs.appending import check_links
from unbroken.testing.logs.handles import drafts, everything


@pytest.fixture
def own(tmp_path: Path) -> Iterator[Valkey]:
    """Run a server that a test may kill."""
    with Valkey(tmp_path) as engine:
        yield engine


async def _heard(log: Log, listener: Recorder, payload: bytes) -> None:
    """Check that what is published from now on is heard, without a look at the log."""
    await log.append("t", drafts(payload))
    await listener.until(
        lambda: any(entry.payload == payload for entry in listener.entries("t").values()), f"{payload!r}"
    )


async def _back(log: Log) -> None:
    async def answers() -> bool:
        return bool(await log.topics() is not None)

    await eventually(answers, "the engine")


class TestRestart:
    def test_what_was_acknowledged_is_there_after_a_kill(self, own: Valkey, prefix: str) -> None:
        """With its append-only file an engine that was killed has every event that was acknowledged."""

        async def scenario() -> None:
            async with opened(with_settings(own.url, prefix, **QUICK)) as (log, listener):
                await log.watch("t")
                made = [await log.append("t", drafts(b"%d" % number), key=f"{number}") for number in range(50)]
                await asyncio.to_thread(own.restart)
                await _back(log)
                entries = await everything(log, "t")
                assert [entry.payload for entry in entries] == [b"%d" % number for number in range(50)]
                assert (await log.append("t", drafts(b"x"), key="49")).position == made[-1].position
                await listener.until(lambda: bool(listener.doubts), "a doubt")
                await _heard(log, listener, b"after")
                assert listener.troubles[0] is not None
                assert listener.troubles[-1] is None

        asyncio.run(scenario())

    def test_without_persistence_another_epoch_begins(self, tmp_path: Path, prefix: str) -> None:
        """An engine that came back empty shows by another epoch, and watching goes on."""

        async def scenario(engine: Valkey) -> None:
            async with opened(with_settings(engine.url, prefix, **QUICK)) as (log, listener):
                assert "append-only file is off" in log.guarantees.can_lose
                await log.watch("t")
                before = await log.append("t", drafts(b"1"))
                await asyncio.to_thread(engine.restart)
                await _back(log)
                head = await log.head("t")
                assert (head.seq, head.epoch != before.epoch) == (0, True)
                await listener.until(lambda: bool(listener.doubts), "a doubt")
                await _heard(log, listener, b"after")

        with Valkey(tmp_path, persistent=False) as engine:
            asyncio.run(scenario(engine))

    def test_an_older_copy_shows_by_its_links(self, own: Valkey, tmp_path: Path, prefix: str) -> None:
        """After a restored copy the same numbers carry other tags, in the same epoch."""

        async def scenario() -> None:
            async with opened(with_settings(own.url, prefix, **QUICK)) as (log, _):
                first = await log.append("t", drafts(b"1", b"2"))
                await asyncio.to_thread(own.copy, tmp_path / "copy")
                await _back(log)
                lost = await log.append("t", drafts(b"3", b"4"))
                await asyncio.to_thread(own.restore, tmp_path / "copy")
                await _back(log)
                assert (await log.head("t")).position == first.position
                again = await log.append("t", drafts(b"other 3", b"other 4"))
                assert (again.epoch, again.position.seq) == (lost.epoch, lost.position.seq)
                assert again.position.tag != lost.position.tag
                check_links(await everything(log, "t"), first=1)

        asyncio.run(scenario())

    def test_flushall_begins_another_epoch(self, own: Valkey, prefix: str) -> None:
        """When all keys are deleted under a watched topic, the next look finds another epoch."""

        async def scenario() -> None:
            async with opened(with_settings(own.url, prefix)) as (log, listener):
                await log.watch("t")
                before = await log.append("t", drafts(b"1"))
                assert own.ask("FLUSHALL") == "+OK"
                assert own.ask("SCRIPT", "FLUSH") == "+OK"
                assert (await log.head("t")).epoch != before.epoch
                await _heard(log, listener, b"after")

        asyncio.run(scenario())

    def test_a_lost_state_takes_its_entries_along(self, own: Valkey, prefix: str) -> None:
        """Where somebody deleted a topic's state alone, its old entries are in no later history."""

        async def scenario() -> None:
            async with opened(with_settings(own.url, prefix)) as (log, _):
                before = await log.append("t", drafts(b"1", b"2"), key="k")
                assert own.ask("EVAL", "return redis.call('DEL', unpack(redis.call('KEYS', '*:state:t')))", "0") == ":1"
                after = await log.append("t", drafts(b"new"), key="k")
                assert (after.epoch != before.epoch, after.duplicate) == (True, False)
                assert [entry.payload for entry in await everything(log, "t")] == [b"new"]

        asyncio.run(scenario())


class TestRefusal:
    def test_full_memory_refuses_and_appends_nothing(self, own: Valkey, prefix: str) -> None:
        """With `maxmemory` reached an append says that nothing was appended; reading and trimming go on."""

        async def scenario() -> None:
            async with opened(with_settings(own.url, prefix)) as (log, _):
                await log.append("t", drafts(b"1"))
                own.ask("CONFIG", "SET", "maxmemory", "1")
                text = await refusal(log.append("t", drafts(b"2", b"3"), key="k"))
                assert "nothing was appended" in text
                assert "maxmemory" in text
                assert [entry.payload for entry in await everything(log, "t")] == [b"1"]
                own.ask("CONFIG", "SET", "maxmemory", "0")
                assert not (await log.append("t", drafts(b"2"), key="k")).duplicate

        asyncio.run(scenario())

    def test_eviction_is_said(self, tmp_path: Path, prefix: str) -> None:
        """Where the engine may evict keys, the guarantees say that anything can be lost."""

        async def scenario(engine: Valkey) -> str:
            async with opened(with_settings(engine.url, prefix)) as (log, _):
                return log.guarantees.can_lose

        with Valkey(tmp_path, maxmemory="100mb", maxmemory_policy="allkeys-lru") as engine:
            assert "allkeys-lru" in asyncio.run(scenario(engine))

    def test_a_replica_is_refused(self, own: Valkey, tmp_path: Path, prefix: str) -> None:
        """A URL of a replica is refused at the start, and the text says what is wrong."""

        async def scenario(url: str) -> str:
            return await refusal(opened(url).__aenter__())

        (tmp_path / "replica").mkdir()
        with Valkey(tmp_path / "replica", replicaof=f"127.0.0.1 {own.port}") as replica:
            assert "is a replica" in asyncio.run(scenario(with_settings(replica.url, prefix)))

    def test_a_primary_that_becomes_a_replica_is_left(self, own: Valkey, tmp_path: Path, prefix: str) -> None:
        """An append that a demoted server refuses says that nothing was appended, and every connection is made anew."""

        async def scenario(other: Valkey) -> None:
            async with opened(with_settings(own.url, prefix, **QUICK)) as (log, listener):
                await log.watch("t")
                await log.append("t", drafts(b"1"))
                assert own.ask("REPLICAOF", "127.0.0.1", str(other.port)) == "+OK"
                text = await refusal(log.append("t", drafts(b"2")))
                assert "is a replica" in text
                assert "nothing was appended" in text
                await listener.until(lambda: "replica" in str(listener.troubles[-1:]), "trouble")
                assert own.ask("REPLICAOF", "NO", "ONE") == "+OK"
                await _back(log)
                await listener.until(lambda: listener.troubles[-1] is None, "the end of the trouble")
                await _heard(log, listener, b"after")

        (tmp_path / "other").mkdir()
        with Valkey(tmp_path / "other") as other:
            asyncio.run(scenario(other))

    def test_too_few_replicas_are_said(self, own: Valkey, prefix: str) -> None:
        """With `replicas=1` and none there, an append says that it may have been made."""

        async def scenario() -> None:
            async with opened(with_settings(own.url, prefix, replicas=1, timeout=0.5)) as (log, _):
                for key in (None, "k", "k"):
                    text = await refusal(log.append("t", drafts(b"1"), key=key))
                    assert "0 of 1 replicas" in text
                    assert "may have been appended" in text

        asyncio.run(scenario())

    def test_an_engine_that_is_away_is_said(self, own: Valkey, prefix: str) -> None:
        """While the engine is away each call raises, names it, and shows no password."""

        async def scenario() -> None:
            url = with_settings(own.url.replace("//", "//:secret-word@"), prefix, timeout=0.5)
            text = await refusal(opened(url).__aenter__())
            assert f"127.0.0.1:{own.port}" in text
            assert "secret-word" not in text

        own.kill()
        asyncio.run(scenario())


class TestConnections:
    @pytest.mark.parametrize("kind", ["normal", "pubsub"])
    def test_connections_that_the_engine_kills_are_made_anew(self, valkey: Valkey, prefix: str, kind: str) -> None:
        """After `CLIENT KILL` no publish fails, and the listener hears again; what it may have missed is a doubt."""

        async def scenario() -> None:
            async with opened(with_settings(valkey.url, prefix)) as (log, listener):
                await log.watch("t")
                await log.append("t", drafts(b"1"))
                assert int(valkey.ask("CLIENT", "KILL", "TYPE", kind)[1:]) > 0
                if kind == "pubsub":
                    await listener.until(lambda: bool(listener.doubts), "a doubt")
                else:
                    # Its own connection is made anew for that; by then the close of the other has arrived, too.
                    assert (await log.head("t")).seq == 1
                await _heard(log, listener, b"after")

        asyncio.run(scenario())

    @pytest.mark.parametrize("fault", [Fault.RST, Fault.FIN, Fault.SWALLOW, Fault.FREEZE])
    def test_a_broken_way_is_noticed(self, valkey: Valkey, prefix: str, fault: Fault) -> None:
        """However the connections break, also silently: it is told, what was missed is a doubt, and it hears again."""

        async def scenario(proxy: ThreadedFaultProxy) -> None:
            url = with_settings(valkey.through(proxy.port), prefix, **QUICK)
            async with opened(url) as (log, listener), opened(with_settings(valkey.url, prefix)) as (other, _):
                await log.watch("t")
                await _heard(other, listener, b"before")
                proxy.strike(fault)
                await other.append("t", drafts(b"missed"))
                await listener.until(lambda: bool(listener.doubts), "a doubt")
                assert [why is None for why in listener.troubles][-1]
                assert listener.troubles[0]
                await _heard(other, listener, b"after")
                await _back(log)
                assert [e.payload for e in await everything(log, "t")] == [b"before", b"missed", b"after"]

        with running_proxy("127.0.0.1", valkey.port) as proxy:
            asyncio.run(scenario(proxy))

    @pytest.mark.parametrize("key", [None, "k"])
    def test_a_lost_answer_makes_no_duplicate(self, own: Valkey, prefix: str, key: str | None) -> None:
        """An append that the engine makes after its connection broke is made once.

        With a key it is sent again, and returns as if nothing had been; without, it raises, and says what may be.
        """

        async def scenario(proxy: ThreadedFaultProxy) -> None:
            url = with_settings(own.through(proxy.port), prefix)
            async with opened(url) as (log, _):
                await log.append("t", drafts(b"first"))
                before = _sent(proxy)
                own.freeze()
                # More than the connection that listens may still have to say, which is opened meanwhile.
                large = b"2" * 4096
                task = asyncio.create_task(log.append("t", drafts(b"1", large), key=key))
                await _until(lambda: _sent(proxy) > before + len(large))
                proxy.strike(Fault.FIN)
                await _until(lambda: len(proxy.connections) > 3)  # it connects anew
                own.thaw()
                if key is None:
                    assert "may have been appended" in await refusal(task)
                else:
                    appended = await task
                    assert (appended.duplicate, appended.position.seq) == (False, 3)
                await _until(lambda: own.ask("EVAL", _LENGTH, "0") == ":3")
                payloads = [entry.payload for entry in await everything(log, "t")]
                assert payloads == [b"first", b"1", large]

        with running_proxy("127.0.0.1", own.port) as proxy:
            asyncio.run(scenario(proxy))

    def test_a_frozen_engine_holds_nobody_up(self, own: Valkey, prefix: str) -> None:
        """Each call raises within its deadline, and so does a stop; after that the log may be started again."""

        async def scenario() -> None:
            async with opened(with_settings(own.url, prefix, **QUICK | {"timeout": 0.3})) as (log, listener):
                await log.watch("t")
                await log.append("t", drafts(b"1"))
                own.freeze()
                for call in (log.append("t", drafts(b"2")), log.head("t"), log.topics(), log.watch("other")):
                    assert "within 0.3 s" in await refusal(call)
                await listener.until(lambda: bool(listener.troubles), "trouble")
            own.thaw()
            await log.start(listener)
            assert (await everything(log, "t"))[0].payload == b"1"
            await log.stop()

        asyncio.run(scenario())

    def test_a_cancelled_caller_harms_nobody(self, valkey: Valkey, prefix: str) -> None:
        """Callers that are cancelled at any moment leave the connections as they are, and others their answers."""

        async def scenario() -> None:
            async with opened(with_settings(valkey.url, prefix)) as (log, _):
                await _both(log, 0)  # which opens them
                before = _connections(valkey)
                for turns in range(6):
                    tasks = [asyncio.create_task(_both(log, number)) for number in range(40)]
                    for _ in range(turns):
                        await asyncio.sleep(0)
                    for task in tasks[::2]:
                        task.cancel()
                    done = await asyncio.gather(*tasks, return_exceptions=True)
                    assert [isinstance(one, asyncio.CancelledError) for one in done] == [True, False] * 20
                check_links(await everything(log, "t"), first=1)
                assert _connections(valkey) == before + 1  # that of the question

        asyncio.run(scenario())


_LENGTH = "return redis.call('XLEN', redis.call('KEYS', '*:entries:t')[1])"


def _connections(engine: Valkey) -> int:
    """Return how many connections the engine has ever had."""
    return int(engine.ask("INFO", "stats").partition("total_connections_received:")[2].split()[0])


def _sent(proxy: ThreadedFaultProxy) -> int:
    return sum(connection.bytes_to_server for connection in proxy.connections)


async def _until(condition: Callable[[], bool]) -> None:
    async def holds() -> bool:
        return await asyncio.to_thread(condition)

    await eventually(holds, "the condition")


async def _both(log: Log, number: int) -> None:
    await log.append("t", drafts(b"%d" % number))
    await log.read("t", 0, 5)
