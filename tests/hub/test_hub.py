"""The hub itself: opening, closing, and the loops it is used on."""

from __future__ import annotations

import asyncio
import threading
from contextvars import ContextVar

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from tests.hub.support import Endpoint, OddLog, engine_of, opened, run, stepped, turns, until
from unbroken.errors import CloseReason, ConfigurationError, LogUnavailable
from unbroken.hub import Hub, HubStats
from unbroken.logs import Log
from unbroken.logs.memory import MemoryLog

DEADLINE = 20.0


@pytest.mark.parametrize(
    ("url", "words"),
    [("redis-ish://x", "names no log"), ("", "names no log"), ("memory://x", "asks more than a log in memory has")],
)
def test_a_url_is_checked_when_the_hub_is_made(url: str, words: str) -> None:
    """Not at the first event."""
    with pytest.raises(ConfigurationError, match=words):
        Hub(url)


def test_a_log_can_be_given() -> None:
    """In place of a URL: one's own, or one that is shared."""

    async def main() -> None:
        log: Log = MemoryLog()
        async with Hub(log) as hub:
            await hub.publish("t", "x")
            assert (await log.head("t")).seq == 1

    run(main())


def test_making_a_hub_opens_nothing() -> None:
    """Neither a file nor a task nor a loop: it is a module's global."""
    log = OddLog()
    hub = Hub(log)
    assert log.calls == {}
    assert hub.stats() == empty()


def empty() -> HubStats:
    """Return what a hub says that has done nothing."""
    counts = dict.fromkeys(
        (
            "topics", "subscribers", "live", "behind", "published", "duplicates", "delivered", "replayed", "demotions",
            "dropped", "conflated", "revoked", "fills", "breaks", "waiting", "unpublished",
        ),
        0,
    )  # fmt: skip
    return HubStats(resumes={}, gaps={}, trouble=None, **counts)


def test_the_first_use_opens_it_once() -> None:
    """Whoever comes first: many at the same moment share one opening."""

    async def main() -> None:
        log = OddLog()
        hub = Hub(log)
        await asyncio.gather(
            *(hub.publish("t", number) for number in range(5)), hub.position("t"), hub.revoke(user="x")
        )
        assert log.calls["start"] == 1
        await hub.close()
        assert log.calls["stop"] == 1
        await hub.close()
        assert log.calls["stop"] == 1

    run(main())


def test_a_log_that_cannot_be_opened_is_tried_again() -> None:
    """The caller is told; the next one tries anew."""

    async def main() -> None:
        log = OddLog()
        hub = Hub(log)
        log.away = True
        with pytest.raises(LogUnavailable):
            await hub.publish("t", "x")
        log.away = False
        assert (await hub.publish("t", "x")).seq == 1
        await hub.close()

    run(main())


def test_an_applications_lifespan_opens_and_closes_it() -> None:
    """`FastAPI(lifespan=hub.lifespan)`."""

    async def main() -> None:
        log = OddLog()
        hub = Hub(log)

        async def route(request: Request) -> Response:
            return hub.response(request, "t", public=True)

        app = Starlette(routes=[Route("/", route)], lifespan=hub.lifespan)
        async with app.router.lifespan_context(app):
            assert (log.calls["start"], log.calls["stop"]) == (1, 0)
            async with opened(app) as stream:
                await hub.publish("t", "x")
                assert (await stream.next_event()).data == "x"
        assert log.calls["stop"] == 1

    run(main())


def test_closing_ends_the_streams_in_good_order() -> None:
    """Live, behind, and those that wait for the log; with `shutdown`, and nothing of the hub is left on the loop."""

    async def main() -> None:
        log = OddLog()
        hub = Hub(log)
        live, woken, frozen = (Endpoint(hub, "t", drain_grace=1.0) for _ in range(3))
        async with (
            opened(stepped(live)) as one,
            opened(woken) as two,
            opened(stepped(frozen), buffer_messages=0) as three,
        ):
            await until(lambda: hub.stats().live == 3)
            three.freeze()
            await hub.publish("t", "x")
            await until(lambda: hub.stats().behind == 1)
            await hub.close()
            for stream in (one, two):
                await stream.until_end()
                assert b'event: stream-end\ndata: {"reason":"shutdown"}\n\n' in stream.received
        for app in (live, woken, frozen):
            assert app.record.reason is CloseReason.SHUTDOWN
        await turns()
        assert not [task.get_name() for task in asyncio.all_tasks() if task.get_name().startswith("unbroken")]
        assert log.calls["stop"] == 1

    run(main())


def test_a_closed_hub_can_be_opened_again() -> None:
    """Its topics are the log's; on the same loop and on another."""
    log = OddLog()
    hub = Hub(log)

    async def once(number: int) -> None:
        async with hub:
            assert (await hub.publish("t", number)).seq == number
            async with opened(Endpoint(hub, "t", after="earliest")) as stream:
                assert len(await stream.events(number)) == number

    async def twice() -> None:
        await once(1)
        await once(2)

    run(twice())
    run(once(3))
    assert (log.calls["start"], log.calls["stop"]) == (3, 3)


def test_two_loops_at_once_are_refused() -> None:
    """The text says which, and what else there is; the first goes on undisturbed."""
    hub, go, stop = Hub("memory://"), threading.Event(), threading.Event()

    async def first() -> int:
        async with hub:
            go.set()
            await asyncio.to_thread(stop.wait, DEADLINE)
            return (await hub.publish("t", "x")).seq

    async def second() -> None:
        try:
            with pytest.raises(ConfigurationError, match="open on another event loop: close it there first, or make a"):
                await hub.publish("t", "x")
            await hub.close()  # is not its own: does nothing
        finally:
            stop.set()

    seqs: list[int] = []
    thread = threading.Thread(target=lambda: seqs.append(asyncio.run(first())))
    thread.start()
    assert go.wait(DEADLINE)
    asyncio.run(second())
    thread.join(DEADLINE)
    assert seqs == [1]


def test_a_loop_that_was_closed_leaves_the_hub_to_the_next() -> None:
    """A test suite makes many loops, and closes nothing."""
    log = OddLog()
    hub = Hub(log)
    for number in range(1, 4):
        assert run(hub.publish("t", "x")).seq == number
    assert (log.calls["start"], log.calls["stop"]) == (3, 2)


def test_a_position_is_where_the_topics_stand() -> None:
    """As text, for one topic and for several; taking it holds nothing open."""

    async def main() -> None:
        async with Hub("memory://") as hub:
            last = await hub.publish("t", "x")
            assert await hub.position("t") == str(last)
            assert await hub.position("t", "u") == await hub.position("u", "t")
            assert (await hub.position("t", "u")).startswith("v1.")
            assert all(topic.users == 0 for topic in engine_of(hub).topics)
            with pytest.raises(ConfigurationError, match="0 topics"):
                await hub.position()

    run(main())


def test_who_publishes_while_it_closes_waits_for_that() -> None:
    """And opens it anew, then: never the log that is being stopped."""

    async def main() -> None:
        log = OddLog()
        hub = Hub(log)
        await hub.publish("t", 1)
        log.away = True
        hub.publish_soon("t", "waits")
        closing = asyncio.create_task(hub.close())
        await asyncio.sleep(1.0)
        publishing = asyncio.create_task(hub.publish("t", 2))
        await asyncio.sleep(0.5)
        log.away = False
        await closing
        assert (await publishing).seq >= 2
        assert (await hub.publish("t", 3)).seq >= 3
        assert (log.calls["start"], log.calls["stop"]) == (2, 1)
        await hub.close()

    run(main())


def test_closing_goes_on_when_its_caller_is_cancelled() -> None:
    """And whoever closes again waits for it; nothing is left running."""

    async def main() -> None:
        log = OddLog()
        hub = Hub(log)
        await hub.publish("t", 1)
        log.away = True
        hub.publish_soon("t", "waits")
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(1.0):
                await hub.close()
        await hub.close()
        assert (log.calls["stop"], hub.stats().unpublished) == (1, 1)
        others = asyncio.all_tasks() - {asyncio.current_task()}
        assert [task.get_name() for task in others if "unbroken" in task.get_name()] == []

    run(main())


def test_a_log_begins_in_a_context_of_its_own() -> None:
    """Or its tasks would keep what the first request had there."""
    seen = list[str]()
    user = ContextVar("user", default="nobody")

    async def main() -> None:
        log = OddLog()

        async def look(method: str, topic: str) -> None:
            if method == "start":
                seen.append(user.get())

        log.before = look
        user.set("ann")
        async with Hub(log):
            pass

    run(main())
    assert seen == ["nobody"]
