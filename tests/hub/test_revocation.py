"""Ending streams of those who may no longer read, here and in other processes."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from pathlib import Path

import pytest
from starlette.requests import HTTPConnection

from tests.hub.support import Endpoint, OddLog, opened, run, stepped, turns, until
from unbroken.errors import CloseReason, ConfigurationError, LogUnavailable
from unbroken.hub import Grant, Hub
from unbroken.hub.names import REVOKED
from unbroken.hub.revocation import RECENT, SLICE
from unbroken.logs import Draft


def test_a_revocation_ends_the_streams_it_names() -> None:
    """Of a user, of a topic, or of a user on a topic; live, in good order, and at once."""

    async def main() -> None:
        async with Hub("memory://") as hub:
            ends = {
                (user, topic): Endpoint(hub, topic, user=user) for user in ("ann", "bob", 7) for topic in ("t", "u")
            }
            async with AsyncExitStack() as held:
                streams = [await held.enter_async_context(opened(stepped(app))) for app in ends.values()]
                await until(lambda: hub.stats().live == 6)

                def ended() -> set[object]:
                    return {name for name, app in ends.items() if app.records}

                assert await hub.revoke(user="ann", topic="t") == 1
                await until(lambda: ended() == {("ann", "t")})
                assert await hub.revoke(user=7) == 2
                await until(lambda: ended() == {("ann", "t"), (7, "t"), (7, "u")})
                assert await hub.revoke(topic="t") == 1
                await until(lambda: ended() == {("ann", "t"), (7, "t"), (7, "u"), ("bob", "t")})
                assert await hub.revoke(user="nobody") == 0
                assert await hub.revoke(user="7") == 0
                assert hub.stats().revoked == 4
                revoked = [app.record.reason for app in ends.values() if app.records]
                assert revoked == [CloseReason.REVOKED] * 4
                assert streams[0].received.endswith(b'event: stream-end\ndata: {"reason":"revoked"}\n\n')

    run(main())


def test_revoking_of_nobody_is_refused() -> None:
    """Neither a user nor a topic would be everybody: that is a mistake."""
    with pytest.raises(ConfigurationError, match="would end everything: give one of them"):
        asyncio.run(Hub("memory://").revoke())


def test_a_stream_over_several_topics_ends_with_one_of_them() -> None:
    """Its client comes back, and is asked for its leave to all."""

    async def main() -> None:
        async with Hub("memory://") as hub:
            app = Endpoint(hub, "a", "b")
            async with opened(app) as stream:
                await until(lambda: hub.stats().live == 1)
                assert await hub.revoke(topic="b") == 1
                await stream.until_end()

    run(main())


def test_who_is_behind_is_ended_too() -> None:
    """A stream whose client takes nothing, and one that waits for its log."""

    async def main() -> None:
        log = OddLog()
        async with Hub(log) as hub:
            app = Endpoint(hub, "t", user="ann", cleanup_timeout=1.0)
            async with opened(stepped(app), buffer_messages=0) as stream:
                await until(lambda: hub.stats().live == 1)
                stream.freeze()
                await hub.publish("t", "x")
                await until(lambda: hub.stats().behind == 1)
                assert await hub.revoke(user="ann") == 1
                await stream.wait_closed()
            log.gate = asyncio.Event()
            waiting = Endpoint(hub, "new", user="ann")
            async with opened(waiting, wait_for_start=False) as stream:
                await until(lambda: hub.stats().subscribers == 1)
                assert await hub.revoke(user="ann") == 1
                await stream.wait_closed(1)
            assert waiting.record.reason is CloseReason.REVOKED

    run(main())


def test_other_processes_hear_of_it(tmp_path: Path) -> None:
    """Two hubs over one log: what one revokes ends the streams of the other, and is counted where it ended."""

    async def main() -> None:
        url = f"sqlite:///{tmp_path / 'events.db'}"
        async with Hub(url) as here, Hub(url) as there:
            app = Endpoint(there, "t", public=False, authorize=lambda request, topic: Grant(user="ann"))
            other = Endpoint(there, "t", user="bob")
            async with opened(app, timeout=10) as stream, opened(other, timeout=10) as kept:
                while there.stats().live < 2:
                    await asyncio.sleep(0.01)
                assert await here.revoke(user="ann") == 0
                await stream.wait_closed()
                assert app.record.reason is CloseReason.REVOKED
                assert kept.ended is None
                assert (here.stats().revoked, there.stats().revoked) == (0, 1)

    asyncio.run(main())


def test_a_log_that_is_away_is_said_and_it_is_done_here() -> None:
    """Other processes may not have heard of it; the caller is told."""

    async def main() -> None:
        log = OddLog(shared=True)
        async with Hub(log) as hub:
            app = Endpoint(hub, "t", user="ann")
            async with opened(app) as stream:
                await until(lambda: hub.stats().live == 1)
                log.away = True
                with pytest.raises(LogUnavailable):
                    await hub.revoke(user="ann")
                await stream.until_end()
            log.away = False
            assert app.record.reason is CloseReason.REVOKED
            assert hub.stats().revoked == 1

    run(main())


def test_following_is_begun_when_the_log_is_back() -> None:
    """A stream that opens while the log is away is no reason to stay deaf: the next one tries again."""

    async def main() -> None:
        log = OddLog(shared=True)
        async with Hub(log) as hub:
            log.away = True
            app = Endpoint(hub, "t", user="ann")
            async with opened(app, wait_for_start=False) as stream:
                await asyncio.sleep(1)
                log.away = False
                async with opened(Endpoint(hub, "t")):
                    await until(lambda: hub.stats().live == 2)
                    await log.inner.append(REVOKED, [Draft(b'{"user": "ann", "topic": null}')])
                    await stream.until_end()
            assert app.record.reason is CloseReason.REVOKED

    run(main())


class Asked:
    """An `authorize` whose answer is on its way until the test lets it come."""

    def __init__(self) -> None:
        self.begun = asyncio.Event()
        self.answers = asyncio.Event()

    async def __call__(self, request: HTTPConnection, topic: str) -> Grant:
        """Grant what the database said when it was asked."""
        self.begun.set()
        await self.answers.wait()
        return Grant(user="ann")


def test_what_others_revoke_while_the_first_stream_opens_is_heard_of() -> None:
    """Revocations are followed before the question is asked, not after its answer."""

    async def main() -> None:
        log, asked = OddLog(shared=True), Asked()
        async with Hub(log) as hub:
            app = Endpoint(hub, "t", public=False, authorize=asked)
            async with opened(app, wait_for_start=False) as stream:
                await asked.begun.wait()
                await log.inner.append(REVOKED, [Draft(b'{"user": "ann", "topic": null}')])
                await turns()
                asked.answers.set()
                await hub.publish("t", "secret")
                await stream.until_end()
                assert b"secret" not in stream.received
            assert app.record.reason is CloseReason.REVOKED

    run(main())


@pytest.mark.parametrize("others", [0, RECENT - 1, RECENT, RECENT + 1])
def test_no_number_of_revocations_hides_the_one_that_counts(others: int) -> None:
    """Only so many are remembered: who opens while more come is ended to be safe, and comes back."""

    async def main() -> None:
        asked = Asked()
        async with Hub("memory://") as hub:
            app = Endpoint(hub, "t", public=False, authorize=asked)
            async with opened(app, wait_for_start=False) as stream:
                await asked.begun.wait()
                await hub.revoke(user="ann")
                for number in range(others):
                    await hub.revoke(user=number)
                asked.answers.set()
                await stream.until_end()
            assert app.record.reason is CloseReason.REVOKED
            await asyncio.sleep(1)
            async with opened(app):
                await until(lambda: hub.stats().live == 1)

    run(main())


def test_ending_many_gives_the_loop_turns() -> None:
    """A topic's thousands are ended a few at a time."""

    async def main() -> None:
        async with Hub("memory://") as hub, AsyncExitStack() as held:
            app, turned, ticking = Endpoint(hub, "t"), 0, True
            for _ in range(4 * SLICE):
                await held.enter_async_context(opened(stepped(app)))
            await until(lambda: hub.stats().live == 4 * SLICE)

            async def tick() -> None:
                nonlocal turned
                while ticking:
                    turned += 1
                    await asyncio.sleep(0)

            ticker = asyncio.create_task(tick())
            await turns(1)
            before = turned
            assert await hub.revoke(topic="t") == 4 * SLICE
            assert turned - before >= 3
            ticking = False
            await ticker
            await until(lambda: len(app.records) == 4 * SLICE)

    run(main())
