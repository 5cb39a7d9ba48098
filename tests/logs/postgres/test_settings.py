"""What can be set, how the tables come to be, and what is said of it all."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from typing import Any

import pytest

from tests.engines.postgres import Postgres, reachable_folder, running_postgres
from tests.logs.postgres.running import connected, eventually, opened, place_of, refusal, with_settings
from unbroken.errors import ConfigurationError
from unbroken.logs import open_log
from unbroken.logs.contract import Retention
from unbroken.logs.postgres import PostgresLog
from unbroken.logs.postgres.place import by_host
from unbroken.logs.postgres.schema import migrations
from unbroken.testing.logs import Recorder
from unbroken.testing.logs.handles import drafts

URL = "postgresql://shop:secret@db:5432/shop"


@pytest.mark.parametrize(
    ("query", "said"),
    [
        ("colour=red", "has no setting colour .db:5432/shop.: there are notify_dsn, schema, wake"),
        ("schema=a%3Bdrop", "schema='a;drop' cannot be one: give up to 48 of a-z, 0-9 and _"),
        ("schema=", "schema='' cannot be one"),
        ("schema=pg_x", "schema='pg_x' cannot be one"),
        ("schema=" + "x" * 49, "cannot be one: give up to 48"),
        ("wake=shout", "wake='shout' is not known: give one of notify, poll"),
        ("synchronous_commit=maybe", "synchronous_commit='maybe' is not known: give one of on, off, local"),
        ("timeout=soon", "timeout='soon' is no time: give seconds"),
        ("timeout=0", "timeout=0.0 is no time: give seconds, from 0.01 to 3600"),
        ("poll_interval=nan", "poll_interval=nan is no time"),
        ("migrate=perhaps", "migrate='perhaps' is neither true nor false"),
        ("notify_dsn=mysql://db", "notify_dsn is no URL of PostgreSQL: it begins with 'mysql', not postgresql://"),
    ],
)
def test_what_cannot_be_set_is_refused(query: str, said: str) -> None:
    """With its name, what it was and what it may be; and never with the password."""
    with pytest.raises(ConfigurationError, match=said) as raised:
        open_log(f"{URL}?{query}")
    assert "secret" not in str(raised.value)


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://shop:s3cr/et@db/shop", "postgresql://shop:s3cr#et@db/shop", "postgresql://shop:s3cr?et@db/shop",
        "postgresql://shop:s3cr?et=1@db/shop", "postgresql://shop:s3@cr@db/shop", "postgresql://shop:s3[cr]et@db/shop",
        "postgresql://shop:s3cr@db:et/shop", "postgres:shop:s3cr@db/shop", "host=db password=s3cr", "postgresql://[s3cr",
    ],
)  # fmt: skip
def test_a_url_that_is_none_is_refused_without_a_word_of_it(url: str) -> None:
    """Any part of it may be one of a password that was not percent-encoded."""
    for make in (open_log, PostgresLog) if url.startswith("postgres") else (PostgresLog,):
        with pytest.raises(ConfigurationError, match="percent-encode") as raised:
            make(url)
        assert not any(part in str(raised.value) for part in ("s3", "cr"))


def test_a_password_is_in_no_representation() -> None:
    """Those of what holds it are in tracebacks."""
    place = place_of(f"{URL}?notify_dsn=postgresql://shop:secret@direct/shop")
    assert (place.notify_dsn, "secret" in repr(place)) == ("postgresql://shop:secret@direct/shop", False)


@pytest.mark.parametrize(
    ("dsn", "each"),
    [
        ("postgresql://u:p@one:1,[::1]:2/d?sslmode=require",
         ["postgresql://u:p@one:1/d?sslmode=require", "postgresql://u:p@[::1]:2/d?sslmode=require"]),
        ("postgresql:///d?host=/a,/b", ["postgresql:///d?host=%2Fa", "postgresql:///d?host=%2Fb"]),
        ("postgresql:///d?host=a,b&port=1,2", ["postgresql:///d?host=a&port=1", "postgresql:///d?host=b&port=2"]),
        ("postgresql:///d?host=a,b&port=1", ["postgresql:///d?host=a&port=1", "postgresql:///d?host=b&port=1"]),
        ("postgresql:///d", ["postgresql:///d"]),
    ],
)  # fmt: skip
def test_several_hosts_are_taken_one_by_one(dsn: str, each: list[str]) -> None:
    """Wherever in the URL they are."""
    assert by_host(dsn) == each


def test_a_schema_that_was_made_beforehand_is_enough(url: str, server: Postgres) -> None:
    """With a user that owns it and may make no other; and its name may be a word of SQL's."""
    role = place_of(url).schema
    server.sql(f'CREATE ROLE {role} LOGIN; CREATE SCHEMA "order" AUTHORIZATION {role}')

    async def scenario() -> None:
        own = server.schema("order").replace("postgres@", f"{role}@")
        async with opened(own) as (log, listener), connected(own) as connection:
            await log.watch("t")
            async with connection.transaction():
                await log.append_within(connection, "t", drafts(b"x"))
            await listener.until(lambda: 1 in listener.entries("t"), "the entry")
            assert await log.trim("t", Retention(max_events=2**63, max_bytes=2**63)) == 0

    asyncio.run(scenario())


def test_a_connection_that_listens_elsewhere_is_not_taken(url: str, server: Postgres) -> None:
    """To another database: it would hear nothing. No tables are made there."""
    server.sql("CREATE DATABASE elsewhere")
    elsewhere = f"{server.url.rpartition('/')[0]}/elsewhere"
    log = open_log(with_settings(url, notify_dsn=elsewhere, heartbeat_timeout=0.1))
    assert "sends no notifications" in asyncio.run(refusal(log.start(Recorder())))
    assert server.sql("SELECT count(*) FROM pg_namespace WHERE nspname LIKE 'test%'", database="elsewhere") == "0"


def test_the_url_and_the_arguments_say_the_same() -> None:
    """Each setting of the URL is an argument, with the same default; what libpq has is left to the driver."""
    settings: dict[str, Any] = {
        "notify_dsn": "postgresql://direct/shop", "schema": "events", "wake": "poll", "poll_interval": 0.5,
        "heartbeat_interval": 3.0, "heartbeat_timeout": 2.0, "timeout": 1.0, "synchronous_commit": "remote_apply",
        "migrate": False, "prepared_statements": False,
    }  # fmt: skip
    url = with_settings(URL, **{name: str(value).lower() for name, value in settings.items()}, sslmode="require")
    assert place_of(url) == PostgresLog(f"{URL}?sslmode=require", **settings)._place
    assert place_of(URL) == PostgresLog(URL)._place


def test_logs_that_start_at_once_make_the_tables_once(url: str) -> None:
    """Several processes come up together, on a database that has nothing yet."""

    async def scenario() -> None:
        logs = [open_log(url) for _ in range(5)]
        await asyncio.gather(*(log.start(Recorder()) for log in logs))
        made = await asyncio.gather(*(log.append("t", drafts(b"x")) for log in logs))
        assert sorted(appended.position.seq for appended in made) == [1, 2, 3, 4, 5]
        await asyncio.gather(*(log.stop() for log in logs))

    asyncio.run(scenario())


def test_an_administrator_applies_what_is_printed(url: str, server: Postgres) -> None:
    """With `migrate=false` nothing is made; the error says what to apply, and that is all that is needed."""
    schema = place_of(url).schema
    command = [sys.executable, "-m", "unbroken.logs.postgres", "--schema", schema]

    async def scenario() -> None:
        said = await refusal(open_log(f"{url}&migrate=false").start(Recorder()))
        assert f"`python -m unbroken.logs.postgres --schema {schema} --after 0` prints" in said
        server.sql(subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout)
        server.sql(
            f"CREATE ROLE {schema} LOGIN; GRANT USAGE ON SCHEMA {schema} TO {schema};"
            f" GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA {schema} TO {schema}"
        )
        async with opened(f"{url.replace('postgres@', f'{schema}@')}&migrate=false") as (log, _):
            assert (await log.append("t", drafts(b"x"))).position.seq == 1
        async with opened(url) as (log, _):  # finds that there is nothing to do
            assert (await log.head("t")).seq == 1

    asyncio.run(scenario())


def test_a_newer_schema_is_refused(url: str) -> None:
    """An older unbroken does not write what it does not know."""

    async def scenario() -> None:
        async with opened(url), connected(url) as connection:
            await connection.execute(f"INSERT INTO {place_of(url).schema}.migrations (number) VALUES (999)")
        said = await refusal(open_log(url).start(Recorder()))
        assert f"its tables are at step 999, and this is made for {migrations()[-1].number}" in said

    asyncio.run(scenario())


@pytest.mark.parametrize(
    ("replaced", "by", "said"),
    [
        ("/postgres?", "/nowhere?", "(3D000); make the database first"),
        ("postgres@", "stranger@", "(28000); see user and password"),
        ("127.0.0.1", "name.invalid", "PostgreSQL at name.invalid:"),
    ],
)
def test_what_cannot_be_opened_says_why(replaced: str, by: str, said: str, url: str) -> None:
    """`LogUnavailable` with the host, PostgreSQL's own words, and what helps."""
    assert said in asyncio.run(refusal(open_log(url.replace(replaced, by)).start(Recorder())))


def test_a_replica_is_not_taken() -> None:
    """Its end may lag behind what was already told."""
    with running_postgres() as primary, reachable_folder() as folder, primary.replica(folder) as replica:
        said = asyncio.run(refusal(open_log(replica.url).start(Recorder())))
    assert "it is a replica: name its primary, too" in said


def test_guarantees_follow_the_settings() -> None:
    """Those of the URL, and without them those that the server has."""

    async def scenario(engine: Postgres) -> None:
        async with opened(engine.url) as (log, _):
            assert (log.guarantees.survives_machine, log.guarantees.shared) == (False, True)
            assert log.guarantees.can_lose.startswith("The newest events, when the server or its machine")
        async with opened(engine.url, synchronous_commit="on") as (log, _):
            assert log.guarantees.survives_machine is True
            assert log.guarantees.can_lose.startswith("Nothing that was acknowledged, on one server whose disk is wh")

    with running_postgres(fsync="on", synchronous_commit="off") as engine:
        asyncio.run(scenario(engine))


def test_without_fsync_it_promises_less(url: str) -> None:
    """The server of these tests has it off."""

    async def scenario() -> None:
        async with opened(url) as (log, _):
            assert log.guarantees.survives_machine is False
            assert "fsync=off" in log.guarantees.can_lose

    asyncio.run(scenario())


def test_schemas_are_places_of_their_own(url: str) -> None:
    """Two logs in one database have nothing in common, and wake each other not."""

    async def scenario() -> None:
        async with opened(url) as (one, told), opened(f"{url}_b") as (other, _):
            await one.watch("t")
            await other.append("t", drafts(b"x"))
            await one.append("t", drafts(b"y"))
            await told.until(lambda: 1 in told.entries("t"), "its own")
            assert told.entries("t")[1].payload == b"y"
            assert (await other.head("t")).epoch != (await one.head("t")).epoch

    asyncio.run(scenario())


def test_a_connection_that_hears_nothing_is_not_taken(url: str, server: Postgres) -> None:
    """Behind a pooler that shares sessions LISTEN succeeds, and nothing comes: said at the start, with what helps."""
    # There is no pooler here; a function that swallows notifications before they are sent looks the same.
    server.sql(
        "CREATE SCHEMA IF NOT EXISTS mute; CREATE OR REPLACE FUNCTION mute.pg_notify(text, text) RETURNS void"
        " LANGUAGE sql AS 'SELECT'"
    )
    muted = with_settings(url, heartbeat_timeout=0.05, options="-csearch_path=mute,pg_catalog")
    said = asyncio.run(refusal(open_log(muted).start(Recorder())))
    assert "sends no notifications: if there is a pooler that shares sessions before it, give notify_dsn=" in said


def test_any_default_isolation_will_do(url: str) -> None:
    """Where the server's default is stricter, the log's own statements go on without a conflict."""
    strict = with_settings(url, options="-cdefault_transaction_isolation=serializable")

    async def scenario() -> None:
        async with opened(strict) as (one, _), opened(strict) as (other, _):
            made = await asyncio.gather(*(log.append("t", drafts(b"x")) for log in (one, other) for _ in range(40)))
            assert sorted(appended.position.seq for appended in made) == list(range(1, 81))

    asyncio.run(scenario())


def test_a_loop_that_ends_without_a_stop_leaves_nothing_open(server: Postgres, url: str) -> None:
    """Its connections are closed with it, and the same log starts on the next."""
    log = open_log(with_settings(url, application_name="ended"))

    async def scenario() -> int:
        await log.start(Recorder())
        return (await log.append("t", drafts(b"x"))).position.seq

    assert [asyncio.run(scenario()), asyncio.run(scenario())] == [1, 2]
    asyncio.run(log.stop())

    async def are_gone() -> bool:
        return server.sql("SELECT count(*) FROM pg_stat_activity WHERE application_name = 'ended'") == "0"

    asyncio.run(eventually(are_gone, "the end of its connections"))
