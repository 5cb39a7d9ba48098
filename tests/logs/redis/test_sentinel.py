"""The log over Sentinels: what a failover loses is seen."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import cast

import pytest

from tests.engines import free_port
from tests.engines.valkey import Valkey
from tests.engines.valkey_groups import Guarded, Sentinel, until
from tests.logs.redis.running import QUICK, eventually, opened, with_settings
from unbroken import Hub
from unbroken.errors import LogUnavailable, StreamGap
from unbroken.hub import Gap, GapReason, Subscription
from unbroken.logs import Log
from unbroken.testing.logs.handles import drafts, everything


@pytest.fixture
def guarded(tmp_path: Path) -> Iterator[Guarded]:
    """Run a primary, a replica and a Sentinel."""
    with Guarded(tmp_path) as engines:
        yield engines


def test_a_failover_is_followed(guarded: Guarded, prefix: str) -> None:
    """With `replicas=1` nothing that was acknowledged is lost when the primary is killed, and the hearing goes on."""

    async def scenario() -> None:
        url = guarded.url.replace("//", f"//127.0.0.1:{free_port()},")  # of the Sentinels the first is not there
        async with opened(with_settings(url, prefix, replicas=1, **QUICK)) as (log, listener):
            await log.watch("t")
            made = [await log.append("t", drafts(b"%d" % number), key=f"{number}") for number in range(20)]
            guarded.primary.kill()
            # No replica is left to confirm what comes now; so by another handle.
            async with opened(with_settings(await _promoted(guarded), prefix)) as (other, _):
                await eventually(lambda: _reaches(log), "the new primary")
                await listener.until(lambda: bool(listener.doubts), "a doubt")
                entries = await everything(log, "t")
                assert [entry for one in made for entry in one.entries] == entries
                assert (await other.append("t", drafts(b"x"), key="7")).position == made[7].position
                await other.append("t", drafts(b"after"))
                await listener.until(lambda: 21 in listener.entries("t"), "an event of the new primary")
                assert listener.troubles[-1] is None

    asyncio.run(scenario())


def test_what_a_lagging_replica_lost_is_a_gap(guarded: Guarded, prefix: str) -> None:
    """Who had what the promoted replica lacks is told so, live at once, and later where it was written anew.

    The epoch and the keys are those that the replica has. Nothing comes twice, and nothing in its place unannounced.
    """

    async def scenario() -> None:
        url = with_settings(guarded.url, prefix, **QUICK)
        reader, writer = Hub(url), Hub(url)
        async with reader, writer, reader.subscribe("t", after="earliest") as events:
            kept = await writer.publish("t", "kept", key="kept")
            assert (await anext(events)).data == "kept"
            await _until(guarded.has_all)
            guarded.cut()
            lost = [await writer.publish("t", f"lost {number}", key=f"{number}") for number in range(3)]
            assert [(await anext(events)).data for _ in lost] == ["lost 0", "lost 1", "lost 2"]
            guarded.primary.kill()
            gap = await _gap(events)
            assert gap.reason is GapReason.ROLLBACK
            await _until(guarded.promoted)

            assert str(await writer.publish("t", "again", key="kept", wait=10)) == str(kept)
            anew = [await writer.publish("t", f"anew {number}", key=f"{number}") for number in range(3)]
            assert [(await anext(events)).data for _ in anew] == ["anew 0", "anew 1", "anew 2"]
            assert [_untagged(str(one)) for one in anew] == [_untagged(str(one)) for one in lost]

            async with reader.subscribe("t", after=str(lost[1])) as back:
                assert (await _gap(back)).reason is GapReason.FORK

            for sentinel in guarded.sentinels:
                sentinel.kill()
            for _ in range(10):  # over several heartbeats, at which they are asked: the primary is as well as before
                await writer.publish("t", "without Sentinels")
                await asyncio.sleep(0.05)

    asyncio.run(scenario())


def test_a_sentinel_that_was_left_behind_is_outvoted(valkey: Valkey, tmp_path: Path, prefix: str) -> None:
    """Where one of three names another primary, all goes where the two say, at every look."""

    async def scenario(url: str) -> None:
        async with opened(with_settings(url, prefix, **QUICK)) as (log, _):
            for number in range(1, 16):  # over three looks, and some
                assert (await log.append("t", drafts(b"x"))).position.seq == number
                await asyncio.sleep(0.05)

    for name in ("other", "0", "1", "2"):
        (tmp_path / name).mkdir()
    with contextlib.ExitStack() as stack:
        other, hosts = stack.enter_context(Valkey(tmp_path / "other", persistent=False)), []
        for number, primary in enumerate((valkey, other, valkey)):
            sentinel = Sentinel(tmp_path / f"{number}", primary, quorum=3, down_after=60)
            stack.enter_context(sentinel)
            hosts.append(f"127.0.0.1:{sentinel.port}")
        asyncio.run(scenario(f"redis+sentinel://{','.join(hosts)}/main"))


async def _gap(events: Subscription) -> Gap:
    """Read on until there is a gap; a log that is away is asked again."""
    async with asyncio.timeout(20):
        while True:
            try:
                with pytest.raises(StreamGap) as caught:
                    await anext(events)
            except LogUnavailable:
                await asyncio.sleep(0.05)
            else:
                return cast("Gap", caught.value.gap)


def _untagged(position: str) -> str:
    return position.rpartition(".")[0]


async def _until(condition: Callable[[], bool]) -> None:
    await asyncio.to_thread(until, condition, "it")


async def _promoted(guarded: Guarded) -> str:
    await asyncio.to_thread(until, guarded.promoted, "the promotion")
    return guarded.replica.url


async def _reaches(log: Log) -> bool:
    try:
        await log.topics()
    except LogUnavailable:
        return False
    return True
