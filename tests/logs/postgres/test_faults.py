"""What the log in PostgreSQL does when the server, or the way to it, fails."""

from __future__ import annotations

import asyncio
import random
import socket
import subprocess
import sys
from collections.abc import Awaitable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.engines.postgres import Postgres, reachable_folder, running_postgres
from tests.logs.postgres.running import HASTY, connected, eventually, heard, opened, place_of, refusal
from unbroken.errors import LogUnavailable
from unbroken.logs import Log
from unbroken.logs.postgres.batch import Batch
from unbroken.logs.postgres.driver import connect
from unbroken.logs.postgres.statements import Call, append
from unbroken.testing import Fault, FaultProxy
from unbroken.testing.logs.appending import check_links
from unbroken.testing.logs.handles import drafts, everything

FORKER = Path(__file__).parents[1] / "sqlite" / "forker.py"


@pytest.fixture
def own() -> Iterator[Postgres]:
    """Run a server that a test may harm."""
    with running_postgres() as engine:
        yield engine


def through(url: str, server: Postgres, proxy: FaultProxy) -> str:
    """Return the URL through the proxy."""
    return url.replace(f":{server.port}", f":{proxy.port}")


async def back(log: Log) -> None:
    """Wait until the log answers."""

    async def answers() -> bool:
        return await log.topics() is not None

    await eventually(answers, "the server")


def both(primary: Postgres, replica: Postgres) -> str:
    """Return the URL of the two."""
    return primary.url.replace(f":{primary.port}", f":{primary.port},127.0.0.1:{replica.port}")


async def has_received(replica: Postgres, seq: int) -> bool:
    """Say whether a replica has the entry."""
    return await ask(replica, "SELECT to_regclass('unbroken.entries') IS NOT NULL") == "t" and (
        await ask(replica, "SELECT coalesce(max(seq), 0) FROM unbroken.entries") == str(seq)
    )


async def ask(server: Postgres, query: str) -> str:
    """Ask the server itself."""
    return await asyncio.to_thread(server.sql, query)


async def waiting(server: Postgres, kind: str) -> int:
    """Return how many connections wait for something of a kind."""
    return int(
        await ask(server, f"SELECT count(*) FROM pg_stat_activity WHERE '{kind}' IN (wait_event, wait_event_type)")
    )


async def none_waits(server: Postgres) -> bool:
    """Say whether no connection waits for a lock."""
    return await waiting(server, "Lock") == 0


def until_waiting(server: Postgres, kind: str, count: int = 1) -> Awaitable[None]:
    """Wait until so many connections wait for something of a kind."""

    async def is_so() -> bool:
        return await waiting(server, kind) >= count

    return eventually(is_so, f"{count} that wait for {kind}")


SLOW = """
CREATE FUNCTION unbroken.dawdle() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN PERFORM pg_sleep(0.15); RETURN NULL; END';
CREATE TRIGGER dawdle AFTER INSERT ON unbroken.entries EXECUTE FUNCTION unbroken.dawdle()
"""
"""Makes appends take their time, so that a fault strikes in their midst."""


class TestRestart:
    def test_what_was_acknowledged_is_there_after_a_kill(self, own: Postgres) -> None:
        """Of a server that was killed and came back; keys too, what comes is heard, and the trouble was told."""

        async def scenario() -> None:
            async with opened(own.url, **HASTY) as (log, listener):
                await log.watch("t")
                made = [await log.append("t", drafts(b"%d" % number), key=f"{number}") for number in range(50)]
                await asyncio.to_thread(own.restart)
                await back(log)
                entries = await everything(log, "t")
                assert [entry.payload for entry in entries] == [b"%d" % number for number in range(50)]
                assert (await log.append("t", drafts(b"x"), key="49")).position == made[-1].position
                await listener.until(lambda: None in listener.doubts, "a doubt about all")
                await log.append("t", drafts(b"after"))
                await heard(listener, "t", b"after")
                assert (listener.troubles[0] is None, listener.troubles[-1]) == (False, None)

        asyncio.run(scenario())

    def test_while_it_is_away_calls_say_so(self, own: Postgres) -> None:
        """At once where its port is closed, with the host and without the password; and so does an opening."""

        async def scenario() -> None:
            url = own.url.replace("postgres@", "postgres:secret@")
            async with opened(url, **HASTY) as (log, _):
                await log.append("t", drafts(b"1"))
                own.kill()
                said = [await refusal(log.append("t", drafts(b"2"))), await refusal(log.read("t", 0, 10))]
                assert all(f"PostgreSQL at 127.0.0.1:{own.port}/postgres cannot be used" in text for text in said)
                assert "secret" not in "".join(said)
                own.start()
                await back(log)
                assert (await log.append("t", drafts(b"2"))).position.seq == 2
            own.kill()
            with pytest.raises(Exception, match="cannot be used"):
                await opened(url).__aenter__()

        asyncio.run(scenario())

    def test_a_server_that_lost_everything_gets_its_tables_anew(self, own: Postgres) -> None:
        """The log goes on, in another epoch."""

        async def scenario() -> None:
            async with opened(own.url, **HASTY) as (log, listener):
                await log.watch("t")
                before = await log.append("t", drafts(b"1"))
                await asyncio.to_thread(own.lose)
                await back(log)
                assert (await log.append("t", drafts(b"2"))).epoch != before.epoch
                await listener.until(lambda: None in listener.doubts, "a doubt about all")

        asyncio.run(scenario())

    def test_a_replica_that_lagged_shows_by_its_links(self, own: Postgres) -> None:
        """Of several hosts the one is taken that was promoted; what it gives anew has other tags."""

        async def scenario(replica: Postgres) -> None:
            async with opened(both(own, replica), **HASTY) as (log, listener):
                await log.watch("t")
                await log.append("t", drafts(b"both"))
                await eventually(lambda: has_received(replica, 1), "the first entry at the replica")
                replica.kill()
                lost = await log.append("t", drafts(b"lost", b"lost"))
                own.kill()
                replica.start()
                replica.promote()
                await back(log)
                again = await log.append("t", drafts(b"new", b"new"))
                assert (again.position.seq, again.epoch) == (lost.position.seq, lost.epoch)
                assert again.position.tag != lost.position.tag
                check_links(await everything(log, "t"), first=1)
                await listener.until(lambda: None in listener.doubts, "a doubt about all")
                await log.append("t", drafts(b"after"))
                await heard(listener, "t", b"after")

        with reachable_folder() as folder, own.replica(folder) as replica:
            asyncio.run(scenario(replica))


class TestConnections:
    def test_a_host_that_is_silent_is_passed_by(self, server: Postgres) -> None:
        """Of several each gets its share of the time: so a failover from a machine that is just gone succeeds."""

        async def scenario(silent: int) -> None:
            url = server.url.replace(f":{server.port}", f":{silent},127.0.0.1:{server.port}")
            connection = await connect(place_of(url), place_of(url).dsn, 1.0)
            assert await connection.fetchval("SELECT 1") == 1
            connection.terminate()

        with socket.create_server(("127.0.0.1", 0)) as taker:
            asyncio.run(scenario(taker.getsockname()[1]))

    def test_connections_that_the_server_ends_fail_no_call(self, own: Postgres) -> None:
        """The next append and the next page open new ones; and watching goes on."""

        async def scenario() -> None:
            async with opened(own.url, **HASTY) as (log, listener):
                await log.watch("t")
                await log.append("t", drafts(b"1"))
                await log.head("t")
                for number in range(3):
                    assert await asyncio.to_thread(own.drop_connections) >= 2
                    assert (await log.append("t", drafts(b"more"))).position.seq == number + 2
                    assert (await log.head("t")).seq == number + 2
                    await listener.until(lambda count=number: listener.doubts.count(None) > count, "a doubt")  # type: ignore[misc]
                await log.append("t", drafts(b"last"))
                await heard(listener, "t", b"last")

        asyncio.run(scenario())

    def test_a_half_open_connection_is_noticed(self, server: Postgres, url: str) -> None:
        """One that swallows everything: calls go on over another, and so does watching, within a heartbeat."""

        async def scenario() -> None:
            async with (
                FaultProxy("127.0.0.1", server.port) as proxy,
                opened(through(url, server, proxy), **HASTY) as (log, listener),
                opened(url) as (other, _),
            ):
                await log.watch("t")
                await log.append("t", drafts(b"1"))
                proxy.strike(Fault.SWALLOW)
                await log.append("t", drafts(b"2"))
                assert [entry.payload for entry in await everything(log, "t")] == [b"1", b"2"]
                await listener.until(lambda: None in listener.doubts, "a doubt about all")
                await other.append("t", drafts(b"3"))
                await heard(listener, "t", b"3")
                assert "did not answer within 0.3 s" in str(listener.troubles[0])
                assert listener.troubles[-1] is None

        asyncio.run(scenario())

    @pytest.mark.parametrize("fault", [Fault.RST, Fault.SWALLOW])
    def test_an_append_whose_answer_is_lost_is_not_made_twice(self, own: Postgres, fault: Fault) -> None:
        """Nor does it fail: it was on its way into the table when the connection broke, and is found there."""

        async def scenario() -> None:
            async with (
                FaultProxy("127.0.0.1", own.port) as proxy,
                opened(through(own.url, own, proxy), **(HASTY | {"timeout": 2.0})) as (log, _),
            ):
                await log.append("t", drafts(b"0"))
                own.sql(SLOW)
                appends = [asyncio.create_task(log.append("t", drafts(b"%d" % number))) for number in (1, 2, 3)]
                appends.append(asyncio.create_task(log.append("t", [], close=True)))
                await until_waiting(own, "PgSleep")
                proxy.strike(fault)
                made = [await append for append in appends]
                assert [(appended.position.seq, appended.duplicate) for appended in made] == [
                    (2, False), (3, False), (4, False), (4, False)
                ]  # fmt: skip
                entries = await everything(log, "t")
                check_links(entries, first=1)
                assert [entry.payload for entry in entries] == [b"0", b"1", b"2", b"3"]
                assert tuple(entries[1:]) == tuple(entry for appended in made for entry in appended.entries)

        asyncio.run(scenario())

    def test_an_append_that_waits_when_its_connection_breaks_is_made_once(self, server: Postgres, url: str) -> None:
        """The server goes on waiting for the topic with the first call, while the second waits for the first."""

        async def scenario() -> None:
            async with (
                FaultProxy("127.0.0.1", server.port) as proxy,
                opened(through(url, server, proxy), timeout=4.0) as (log, _),
                connected(url) as holder,
            ):
                await log.append("t", drafts(b"0"))
                async with holder.transaction():
                    await log.append_within(holder, "t", drafts(b"1"))
                    append = asyncio.create_task(log.append("t", drafts(b"2")))
                    await until_waiting(server, "Lock")
                    proxy.strike(Fault.RST)
                    await until_waiting(server, "Lock")
                assert (await append).position.seq == 3
                assert [entry.payload for entry in await everything(log, "t")] == [b"0", b"1", b"2"]

        asyncio.run(scenario())

    def test_a_call_that_arrives_after_its_repetition_does_nothing(self, url: str) -> None:
        """The first was on its way all the time, as in a pooler's queue: the server lets it do nothing."""

        async def scenario() -> None:
            async with opened(url) as (log, _), connected(url) as connection:
                await log.append("t", drafts(b"0"))
                place = place_of(url)
                batch = Batch.of("t", drafts(b"1"), None, None, close=False)
                first = Call("w", 1, 1.0, None, None)
                second = replace(first, number=2, since=1.0)
                rows = [
                    await append(connection, place.schema, call, [[batch]]) for call in (second, first, second, first)
                ]
                assert [len(some) for some in rows] == [1, 0, 0, 0]
                assert [entry.payload for entry in await everything(log, "t")] == [b"0", b"1"]

        asyncio.run(scenario())

    def test_a_cancelled_caller_leaves_nothing_behind(self, server: Postgres, url: str) -> None:
        """Neither does a cancellation fail those whose appends share the connection, nor are there ever more."""

        async def scenario() -> None:
            name = url.rpartition("=")[2]
            async with opened(url, application_name=name) as (log, _):
                rng = random.Random(5)
                for number in range(60):
                    tasks: list[asyncio.Task[Any]] = [
                        asyncio.create_task(log.append(f"t{number % 3}", drafts(b"x"))) for _ in range(3)
                    ]
                    tasks += [asyncio.create_task(log.read("t0", 0, 10)) for _ in range(3)]
                    for _ in range(rng.randrange(5)):
                        await asyncio.sleep(0)
                    tasks[0].cancel()
                    tasks[-1].cancel()
                    await asyncio.gather(*tasks, return_exceptions=True)
                    assert [task.exception() for task in tasks[1:-1]] == [None] * 4
                count = await ask(server, f"SELECT count(*) FROM pg_stat_activity WHERE application_name = '{name}'")
                assert 3 <= int(count) <= 6

        asyncio.run(scenario())


class TestServer:
    def test_a_frozen_server_is_given_up_in_time(self, own: Postgres) -> None:
        """Every call says so within its timeout, the trouble is told, and when it goes on all is as before."""

        async def scenario() -> None:
            async with opened(own.url, **HASTY) as (log, listener):
                await log.watch("t")
                await log.append("t", drafts(b"1"))
                own.freeze()
                calls = (log.append("t", drafts(b"2"), key="k"), log.read("t", 0, 10), log.watch("other"))
                said = await asyncio.gather(*map(refusal, calls))
                assert all("within" in text for text in said)
                assert "for the first time" not in said[1]
                assert listener.troubles[:1] != [None]
                own.thaw()
                await back(log)
                await log.append("t", drafts(b"2"), key="k")
                assert [entry.payload for entry in await everything(log, "t")] == [b"1", b"2"]
                await listener.until(lambda: None in listener.doubts, "a doubt about all")

        asyncio.run(scenario())

    def test_a_frozen_server_does_not_hold_up_the_stop(self, own: Postgres) -> None:
        """What is being appended is told that it cannot be said; then all is closed."""

        async def scenario() -> None:
            async with opened(own.url, timeout=0.5) as (log, _):
                await log.append("t", drafts(b"1"))
                own.freeze()
                append = asyncio.create_task(refusal(log.append("t", drafts(b"2"))))
                await asyncio.sleep(0)
            assert "within" in await append
            own.thaw()

        asyncio.run(scenario())

    def test_a_transaction_that_is_left_open_holds_up_its_own_topics_only(self, server: Postgres, url: str) -> None:
        """Others are appended to at once; those of the held ones say why they fail, or are made in order after it."""

        async def scenario() -> None:
            async with opened(url, timeout=1.0) as (log, _), connected(url) as holder:
                transaction = holder.transaction()
                await transaction.start()
                for topic in ("a", "b", "c"):
                    await log.append_within(holder, topic, drafts(b"1"))
                held = [asyncio.create_task(refusal(log.append(topic, drafts(b"2")))) for topic in ("a", "b", "c")]
                await until_waiting(server, "Lock")
                made = [await log.append("free", drafts(b"%d" % number)) for number in range(20)]
                assert not any(task.done() for task in held)
                assert made[-1].position.seq == 20
                said = await asyncio.gather(*held)
                assert all("another transaction holds topic" in text for text in said)
                await eventually(lambda: none_waits(server), "the end of what was refused")
                late = [asyncio.create_task(log.append("a", drafts(b"%d" % number))) for number in (2, 3, 4)]
                await until_waiting(server, "Lock")
                await transaction.commit()
                assert [(await task).position.seq for task in late] == [2, 3, 4]
                assert [entry.payload for entry in await everything(log, "a")] == [b"1", b"2", b"3", b"4"]

        asyncio.run(scenario())

    def test_a_server_that_takes_no_writes_says_so(self, own: Postgres) -> None:
        """Reading goes on; and so does publishing, when it takes them again."""

        async def scenario() -> None:
            async with opened(own.url, **HASTY) as (log, _):
                await log.append("t", drafts(b"1"))
                own.sql("ALTER SYSTEM SET default_transaction_read_only = on")
                own.sql("SELECT pg_reload_conf()")
                await eventually(lambda: refuses(log), "a refusal")
                assert "it takes no writes" in await refusal(log.append("t", drafts(b"2")))
                assert len((await log.read("t", 0, 10)).entries) >= 1
                own.sql("ALTER SYSTEM RESET default_transaction_read_only")
                own.sql("SELECT pg_reload_conf()")
                await eventually(lambda: takes(log), "an append")

        async def refuses(log: Log) -> bool:
            return not await takes(log)

        async def takes(log: Log) -> bool:
            try:
                await log.append("t", drafts(b"x"))
            except LogUnavailable:
                return False
            return True

        asyncio.run(scenario())

    def test_a_full_disk_loses_nothing(self) -> None:
        """What does not fit raises; what was acknowledged is there, and smaller things may still fit."""

        async def scenario(own: Postgres) -> None:
            async with opened(own.url) as (log, _):
                kept = 0
                with pytest.raises(LogUnavailable, match="cannot be used"):
                    for _ in range(80):
                        await log.append("t", drafts(random.Random(1).randbytes(1024 * 1024)))
                        kept += 1
                assert len(await everything(log, "t")) == kept > 10

        with reachable_folder() as folder, Small(folder) as own:
            asyncio.run(scenario(own))

    def test_a_fork_is_refused(self, url: str) -> None:
        """In a fork of the process that opened it each call says so at once; in its own process the log goes on."""
        assert forked("open", url) == ["child refused 4 of 4", "parent appended 1"]

    def test_a_log_made_before_a_fork_opens_in_each(self, url: str) -> None:
        """A log that was made and not started before the fork, as a server with workers does it, opens in each."""
        assert forked("made", url) == ["child appended 1", "parent appended 2"]


class Small(Postgres):
    """A server whose files may not grow beyond what a small disk would have."""

    def command(self) -> Sequence[str]:
        return ["sh", "-c", 'ulimit -f 40000; exec "$@"', "sh", *super().command()]  # in blocks of 512 bytes


def forked(how: str, url: str) -> list[str]:
    """Run the program that forks, and return what it printed. Not here: a fork of a process with threads may hang."""
    arguments = [sys.executable, "-W", "ignore", str(FORKER), how, url]
    done = subprocess.run(arguments, stdout=subprocess.PIPE, text=True, timeout=30, check=True)
    return done.stdout.splitlines()
