"""What the log in Redis says of an append whose answer is lost, refused, or late."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from tests.engines.valkey import Valkey
from tests.logs.redis.running import Relay, eventually, opened, refusal, relayed, with_settings
from tests.logs.redis.test_access import COMMANDS
from unbroken.logs import Draft, Retention
from unbroken.testing.logs.handles import drafts, everything

MIB = 1024 * 1024
ANSWER = b":1:"
"""In the answer to the first append to a topic."""


def _through(relay: Relay, prefix: str, **settings: object) -> str:
    return with_settings(f"redis://127.0.0.1:{relay.port}/0", prefix, **settings)


def test_an_append_that_was_answered_is_not_made_again(valkey: Valkey, prefix: str) -> None:
    """When the connection ends before the replicas were asked, it raises, says what may be, and is there once."""

    async def scenario() -> None:
        async with relayed(valkey.port) as relay, opened(_through(relay, prefix, replicas=1)) as (log, _):
            relay.cut_at(ANSWER, lambda: True)
            assert "may have been appended" in await refusal(log.append("t", drafts(b"once")))
            assert [entry.payload for entry in await everything(log, "t")] == [b"once"]

    asyncio.run(scenario())


def test_what_was_appended_is_never_denied(valkey: Valkey, prefix: str) -> None:
    """Where the first answer was lost and the second attempt is refused, it may have been appended; and it was."""

    async def scenario() -> None:
        async with relayed(valkey.port) as relay, opened(_through(relay, prefix)) as (log, _):
            relay.cut_at(ANSWER, lambda: not valkey.ask("CONFIG", "SET", "maxmemory", "1"))
            text = await refusal(log.append("t", drafts(b"made"), key="k"))
            valkey.ask("CONFIG", "SET", "maxmemory", "0")
            assert "maxmemory" in text
            assert "may have been appended" in text
            assert [entry.payload for entry in await everything(log, "t")] == [b"made"]

    asyncio.run(scenario())


def test_replicas_that_may_not_be_asked_for(valkey: Valkey, prefix: str) -> None:
    """Without the right to `WAIT` an append with `replicas` says that it may have been made."""
    user = ("app", "reset", "on", ">secret", f"~{prefix}:*", f"&{prefix}:*", *COMMANDS.replace("+wait", "").split())
    assert valkey.ask("ACL", "SETUSER", *user) == "+OK"

    async def scenario() -> None:
        url = with_settings(valkey.url.replace("//", "//app:secret@"), prefix, replicas=1)
        async with opened(url) as (log, _):
            assert "may have been appended" in await refusal(log.append("t", drafts(b"1")))
            assert (await log.head("t")).seq == 1

    asyncio.run(scenario())


def test_who_may_not_publish_appends_nothing(valkey: Valkey, prefix: str) -> None:
    """Without the right to the channels nothing is appended unheard, and no topic is forgotten unheard."""
    user = ("app", "reset", "on", ">secret", f"~{prefix}:*", *COMMANDS.split())
    assert valkey.ask("ACL", "SETUSER", *user) == "+OK"

    async def scenario() -> None:
        url = with_settings(valkey.url, prefix)
        async with opened(url.replace("//", "//app:secret@")) as (log, _), opened(url) as (other, _):
            for key in (None, "k", "k"):
                assert "channel" in await refusal(log.append("t", drafts(b"1"), key=key))
            assert await other.topics() == []

    asyncio.run(scenario())


@pytest.mark.parametrize("payloads", [[], [b"1"]])
def test_the_sole_call_with_a_key_is_no_duplicate(valkey: Valkey, prefix: str, payloads: list[bytes]) -> None:
    """An append, also one that only closes, whose answer was lost returns as if it had not been."""

    async def scenario() -> None:
        async with relayed(valkey.port) as relay, opened(_through(relay, prefix)) as (log, _):
            relay.cut_at(f":{len(payloads)}:".encode(), lambda: False)
            assert not (await log.append("t", drafts(*payloads), key="k", close=True)).duplicate
            assert (await log.append("t", drafts(*payloads), key="k", close=True)).duplicate

    asyncio.run(scenario())


def test_what_waits_for_a_slow_engine_has_a_bound(valkey: Valkey, prefix: str) -> None:
    """More than the bound is refused at once, with nothing appended; what nobody waits for any more is never sent."""

    async def scenario() -> None:
        async with relayed(valkey.port) as relay, opened(_through(relay, prefix)) as (log, _):
            await log.append("t", drafts(b"first"))
            relay.hold()
            payload = [Draft(bytes(MIB))]
            tasks = [asyncio.create_task(log.append("t", payload)) for _ in range(100)]
            done, waiting = await asyncio.wait(tasks, timeout=0.5, return_when=asyncio.FIRST_EXCEPTION)
            assert {("MiB wait" in str(one.exception()), "nothing was" in str(one.exception())) for one in done} == {
                (True, True)
            }
            for task in waiting:
                task.cancel()
            relay.let_go()
            assert (await log.append("t", drafts(b"last"))).position.seq < 30

    asyncio.run(scenario())


def test_a_connection_that_is_given_up_keeps_nothing(valkey: Valkey, prefix: str) -> None:
    """What a slow way has not taken by the deadline goes with the connection, which is not held until it is taken."""

    async def scenario() -> None:
        async with relayed(valkey.port) as relay, opened(_through(relay, prefix, timeout=0.3)) as (log, _):
            await log.append("t", drafts(b"first"))
            relay.hold()
            before = _files()
            await refusal(log.append("t", [Draft(bytes(MIB))] * 48))

            async def closed() -> bool:
                return _files() < before

            await eventually(closed, "the end of the connection", timeout=3)

    asyncio.run(scenario())


def _files() -> int:
    return len(list(Path("/dev/fd").iterdir()))


def test_keys_that_somebody_deleted_do_no_lasting_harm(valkey: Valkey, prefix: str) -> None:
    """A topic with one key evicted is trimmed by what it has, listed again when it is used, and forgotten in time."""

    async def scenario() -> None:
        async with opened(with_settings(valkey.url, prefix)) as (log, _):
            for topic in ("topics", "entries", "used"):
                await log.append(topic, drafts(b"x" * 1000), key="k")
                delete = "return redis.call('DEL', unpack(redis.call('KEYS', ARGV[1])))"
                mark = topic if topic == "topics" else f"{topic}:{topic}"
                assert valkey.ask("EVAL", delete, "0", f"{prefix}:*:{mark}") != ":0"
                await log.append(topic, drafts(b"1", b"2"))
            assert set(await log.topics()) == {"entries", "topics", "used"}
            assert await log.trim("entries", Retention(max_bytes=500)) == 0
            soon = Retention(max_age=1e-6, key_age=1e-6, forget_after=1e-6)
            for _ in range(2):
                await log.trim("used", soon)
            assert "used" not in await log.topics()

    asyncio.run(scenario())


def test_a_position_beyond_all_is_read(valkey: Valkey, prefix: str) -> None:
    """Reading after what no topic has returns its end; after less than nothing, its beginning."""

    async def scenario() -> None:
        async with opened(with_settings(valkey.url, prefix)) as (log, _):
            await log.append("t", drafts(b"1"))
            assert [len((await log.read("t", after, 9)).entries) for after in (-1, 2**63, 2**64)] == [1, 0, 0]

    asyncio.run(scenario())
