"""What the log does about topics that others' transactions hold, and about answers that were lost."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from typing import Any

import asyncpg  # type: ignore[import-untyped]
import pytest

from tests.engines.postgres import Postgres
from tests.logs.postgres.running import connected, opened, place_of
from tests.logs.postgres.test_faults import until_waiting
from unbroken.errors import LogUnavailable
from unbroken.logs.contract import Retention
from unbroken.logs.postgres.batch import Batch, answered
from unbroken.logs.postgres.cursor import Cursor
from unbroken.logs.postgres.look import look
from unbroken.logs.postgres.statements import Call, append
from unbroken.testing.logs.handles import drafts


def test_a_topic_that_is_released_goes_on_while_others_stay_held(server: Postgres, url: str) -> None:
    """However many are held, by transactions that nobody ends."""

    async def scenario() -> None:
        async with opened(url) as (log, _), connected(url) as stuck, connected(url) as short:
            for topic in ("a", "b", "c"):
                await log.append(topic, drafts(b"0"))
            stays, ends = stuck.transaction(), short.transaction()
            await stays.start()
            await ends.start()
            await log.append_within(stuck, "a", drafts(b"1"))
            await log.append_within(stuck, "b", drafts(b"1"))
            await log.append_within(short, "c", drafts(b"1"))
            a, b, c = (asyncio.create_task(log.append(topic, drafts(b"2"))) for topic in ("a", "b", "c"))
            await until_waiting(server, "Lock")
            await ends.commit()
            assert ((await c).position.seq, a.done(), b.done()) == (3, False, False)
            await stays.rollback()
            assert [(await task).position.seq for task in (a, b)] == [2, 2]

    asyncio.run(scenario())


def test_others_deadlocks_end_nothing_of_ours(server: Postgres, url: str) -> None:
    """One of their transactions is ended, even where an append and a trim of ours were in the queue between them."""

    async def scenario() -> None:
        watchful = opened(url, options="-cdeadlock_timeout=300ms")  # so it would be ours that is found first
        async with watchful as (log, _), connected(url) as one, connected(url) as other:
            for topic, connection in (("a", one), ("b", other)):
                await connection.execute("SET deadlock_timeout = '600ms'; BEGIN")
                await log.append_within(connection, topic, drafts(b"1", b"1"))
            plain = asyncio.create_task(log.append("a", drafts(b"2")))
            trimmed = asyncio.create_task(log.trim("a", Retention(max_events=1)))
            await until_waiting(server, "Lock")
            theirs = [asyncio.create_task(log.append_within(other, "a", drafts(b"3")))]
            await until_waiting(server, "Lock", 2)
            theirs.append(asyncio.create_task(log.append_within(one, "b", drafts(b"3"))))
            results = await asyncio.gather(*theirs, return_exceptions=True)
            failed = [type(result) for result in results if isinstance(result, BaseException)]
            assert failed == [asyncpg.exceptions.DeadlockDetectedError]
            await one.execute("COMMIT")
            await other.execute("COMMIT")
            await plain
            await trimmed
            of_other, of_one = (not isinstance(result, BaseException) for result in results)
            assert (await log.head("a")).seq == 2 * of_one + 1 + of_other

    asyncio.run(scenario())


def test_within_a_transaction_a_held_topic_is_waited_for_no_longer_than_the_timeout(url: str) -> None:
    """Or than the application's own lock_timeout, if that is less; and its setting stays what it was."""

    async def scenario() -> None:
        async with (
            opened(url, timeout=0.3) as (log, _),
            connected(url) as holder,
            connected(url) as one,
            holder.transaction(),
        ):
            await log.append_within(holder, "held", drafts(b"1"))
            for setting, kept in (("0", "0"), ("20ms", "20ms"), ("1h", "1h")):
                await one.execute(f"SET lock_timeout = '{setting}'")
                async with one.transaction():
                    await log.append_within(one, "free", drafts(b"1"))
                    assert await one.fetchval("SHOW lock_timeout") == kept
                async with asyncio.timeout(5):
                    with pytest.raises(asyncpg.exceptions.LockNotAvailableError):
                        async with one.transaction():
                            await log.append_within(one, "held", drafts(b"2"))

    asyncio.run(scenario())


class TestRepetition:
    """Of a call whose answer was lost: `again` is what the server answers to it."""

    @staticmethod
    async def again(connection: Any, url: str, batch: Batch, *, made: bool, between: Any = None) -> str:
        """Make a call, or lose it; let something happen; and answer what its repetition is answered."""
        schema = place_of(url).namespace
        await append(
            connection, schema, Call("w", 1, 1.0, None, None), [[Batch.of("x", drafts(b""), None, None, False)]]
        )
        if made:
            await append(connection, schema, Call("w", 2, 1.0, None, None), [[batch]])
        if between is not None:
            await between()
        (row,) = await append(connection, schema, Call("w", 3, 1.0, None, None, since=5.0), [[batch]])
        if row["outcome"] == "appended":
            assert answered(batch, row).position.tag == (batch.tags or (row["tag"],))[-1]
        return str(row["outcome"])

    @pytest.mark.parametrize(
        ("made", "close", "outcome", "seq"),
        [(True, False, "unknown", 2), (True, True, "appended", 2), (False, False, "appended", 3)],
    )
    def test_after_a_trim(self, url: str, made: bool, close: bool, outcome: str, seq: int) -> None:
        """What was appended and is gone is not appended again: it cannot be said. A close shows, and a lost call."""

        async def scenario() -> None:
            async with opened(url) as (log, _), connected(url) as connection:
                batch = Batch.of("t", drafts(b"1"), None, None, close)

                async def trim() -> None:
                    if not made:
                        await log.append("t", drafts(b"other"))
                    if not close:
                        await log.append("t", drafts(b"other"))
                    entries = f"{place_of(url).schema}.entries"
                    await connection.execute(
                        f"UPDATE {entries} SET appended_at = appended_at - 100 WHERE payload <> 'other'"
                    )
                    await log.trim("t", Retention(max_events=1, max_age=50))

                if close:
                    await log.append("t", drafts(b"before"))
                assert await self.again(connection, url, batch, made=made, between=trim) == outcome
                assert (await log.head("t")).seq == seq

        asyncio.run(scenario())

    def test_in_a_long_topic(self, url: str) -> None:
        """It is found among the newest; and where the oldest of these are older than the call, it was not made."""

        async def scenario() -> None:
            schema = place_of(url).schema
            async with opened(url) as (log, _), connected(url) as connection:
                await log.append("t", drafts(*[b"0"] * 6000))
                await connection.execute(f"UPDATE {schema}.entries SET appended_at = appended_at - 100")
                batch = Batch.of("t", drafts(b"1", b"2"), None, None, False)
                assert await self.again(connection, url, batch, made=True) == "appended"
                assert (await log.head("t")).seq == 6002
                await connection.execute(f"TRUNCATE {schema}.writers")  # as a crash does: nothing is known of the call
                late = Batch.of("t", drafts(b"3"), None, None, False)
                call = Call("w", 9, 1.0, None, None, since=5.0)
                (row,) = await append(connection, schema, call, [[late]])
                assert (row["outcome"], row["seq"]) == ("appended", 6003)

        asyncio.run(scenario())

    def test_what_cannot_be_said_is_an_error(self) -> None:
        """With what helps."""
        batch = Batch.of("t", drafts(b"1"), None, None, False)
        with pytest.raises(LogUnavailable, match=r"it cannot be said that this was appended to topic 't'.*with a key"):
            answered(batch, {"outcome": "unknown"})


def test_one_look_is_bounded_over_all_topics(url: str) -> None:
    """What is beyond is left out, and of each topic it is known that there is more."""

    async def scenario() -> None:
        async with opened(url) as (log, _), AsyncExitStack() as stack:
            connection = await stack.enter_async_context(connected(url))
            names = [f"t{number}" for number in range(30)]
            await asyncio.gather(*(log.append(name, drafts(*[b"x"] * 400)) for name in names))
            heads = [await log.head(name) for name in names]
            cursors = {name: Cursor(head.epoch, 0, "", closed=False) for name, head in zip(names, heads, strict=True)}
            found = await look(connection, place_of(url).schema, cursors)
            assert sum(len(news.entries) for news in found.values()) <= 5000 + len(names)
            assert {name: news.end.seq for name, news in found.items()} == dict.fromkeys(names, 400)
            assert len(found["t0"].entries) == 400

    asyncio.run(scenario())


def test_a_stricter_isolation_that_comes_later_fails_nothing(server: Postgres, url: str) -> None:
    """The server is told so and reloads: what conflicts is made again."""

    async def scenario() -> None:
        async with opened(url) as (one, _), opened(url) as (other, _):
            await one.append("t", drafts(b"x"))
            server.sql("ALTER SYSTEM SET default_transaction_isolation = serializable")
            server.sql("SELECT pg_reload_conf()")
            made = await asyncio.gather(*(log.append("t", drafts(b"x")) for log in (one, other) for _ in range(200)))
            for _ in range(20):
                made += await asyncio.gather(*(log.append("t", drafts(b"x")) for log in (one, other)))
            assert sorted(appended.position.seq for appended in made) == list(range(2, 442))

    try:
        asyncio.run(scenario())
    finally:
        server.sql("ALTER SYSTEM RESET default_transaction_isolation")
        server.sql("SELECT pg_reload_conf()")
