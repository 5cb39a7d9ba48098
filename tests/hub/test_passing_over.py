"""Readers who want less than the others: a filter's or a key's function, in whose context, and what its client sees."""

from __future__ import annotations

import asyncio
from contextvars import ContextVar
from typing import Any

import pytest

from tests.hub.support import Endpoint, OddLog, opened, run, stepped, until
from unbroken.errors import ConfigurationError
from unbroken.hub import Event, Hub, Position
from unbroken.wire import HEARTBEAT

WHO: ContextVar[str] = ContextVar("who", default="nobody")


def last_id(received: bytes) -> str:
    """Return the last id in a body."""
    return received.rpartition(b"id: ")[2].partition(b"\n")[0].decode()


def test_a_client_whose_topic_is_busy_with_others_events_is_kept_alive() -> None:
    """A heartbeat after each interval without a byte, however many events were passed over meanwhile."""

    async def main() -> None:
        async with Hub("memory://") as hub:
            app = Endpoint(hub, "t", filter=lambda event: False, heartbeat=5.0)
            async with opened(app, buffer_messages=1000) as stream:
                await until(lambda: hub.stats().live == 1)
                for number in range(60):
                    await hub.publish("t", number)
                    await asyncio.sleep(1)
                assert stream.received.count(HEARTBEAT) in (11, 12)
            assert app.record.heartbeats == stream.received.count(HEARTBEAT)
            assert app.record.events == 0
            assert app.record.longest_silence < 7

    run(main())


def test_a_client_that_comes_back_meets_no_gap_of_what_it_did_not_want() -> None:
    """Its cursor moves on with what is passed over: nothing that is trimmed later was its own."""

    async def main() -> None:
        log = OddLog()
        async with Hub(log) as hub:
            app = Endpoint(hub, "t", filter=lambda event: event.data == "mine", heartbeat=5.0)
            async with opened(app, buffer_messages=1000) as stream:
                await hub.publish("t", "mine")
                await stream.events(1)
                for _ in range(60):
                    await hub.publish("t", "another's")
                    await asyncio.sleep(1)
                seen = Position.parse(last_id(stream.received))
                assert seen is not None
                assert seen.seq > 50
            await log.keep_newest("t", 10)
            async with opened(app, last_id(stream.received)) as stream:
                assert stream.headers["stream-resume"] == "complete"
            assert hub.stats().gaps == {}

    run(main())


def test_a_filter_runs_in_the_context_of_its_request() -> None:
    """Not in the publisher's, whose event wakes the stream: a filter may ask who its user is."""

    async def main() -> None:
        asked = []

        def is_mine(event: Event) -> bool:
            asked.append(WHO.get())
            return bool(event.json() == WHO.get())

        async with Hub("memory://") as hub:
            async with opened(as_user("ann", Endpoint(hub, "t", filter=is_mine))) as stream:
                await until(lambda: hub.stats().live == 1)
                await asyncio.create_task(publish_as("bob", hub, "bob", "ann"))
                assert (await stream.next_event()).data == '"ann"'
            assert asked == ["ann", "ann"]

    run(main())


def test_a_key_is_made_in_the_context_of_its_request() -> None:
    """`conflate_by`, too, when the client's slowness is found by a flush that somebody else's event began."""

    async def main() -> None:
        asked = []

        def key(event: Event) -> str:
            asked.append(WHO.get())
            return event.data

        async with Hub("memory://") as hub:
            app = Endpoint(hub, "t", overflow="conflate", conflate_by=key, send_timeout=None)
            async with opened(stepped(as_user("ann", app)), buffer_messages=0) as stream:
                await until(lambda: hub.stats().live == 1)
                stream.freeze()
                await asyncio.create_task(publish_as("bob", hub, "1"))
                await until(lambda: hub.stats().behind == 1)
                await asyncio.create_task(publish_as("bob", hub, "2", "2"))
                stream.thaw()
                await stream.events(2)
            assert set(asked) == {"ann"}

    run(main())


def as_user(user: str, app: Any) -> Any:
    """Return an application whose requests are a user's."""

    async def application(scope: Any, receive: Any, send: Any) -> None:
        WHO.set(user)
        await app(scope, receive, send)

    return application


async def publish_as(user: str, hub: Hub, *data: str) -> None:
    """Publish as the request of another user does."""
    WHO.set(user)
    for text in data:
        await hub.publish("t", f'"{text}"')


class Later:
    """An answer that has to be awaited."""

    def __await__(self) -> Any:
        return iter(())


@pytest.mark.parametrize("overflow", ["resume", "conflate"])
def test_a_filter_that_cannot_answer_lets_nothing_through(overflow: str) -> None:
    """What is to be awaited is merely true: the stream ends with an error that says so."""

    async def main() -> None:
        async with Hub("memory://") as hub:
            app = Endpoint(hub, "t", after="earliest", filter=lambda event: Later(), overflow=overflow)
            await hub.publish("t", "secret")
            async with opened(app, raise_app_errors=False) as stream:
                await stream.wait_closed()
                assert b"secret" not in stream.received
                assert isinstance(stream.error, ConfigurationError)
                assert "returned something to be awaited: return a bool" in str(stream.error)

    run(main())


@pytest.mark.parametrize("size", [1, 3000])
def test_who_waits_for_a_log_that_does_not_answer_is_kept_alive(size: int) -> None:
    """A stream that was woken, or sent away, and cannot read: its client hears from it all the same."""

    async def main() -> None:
        log = OddLog()
        hub = Hub(log)
        app = Endpoint(hub, "t", filter=lambda event: True, heartbeat=5.0)
        async with hub, opened(app, buffer_messages=1000) as stream:
            await until(lambda: hub.stats().live == 1)
            await asyncio.sleep(8)
            log.gate = asyncio.Event()
            # In one turn of the loop, and more than is kept at hand: the log has to be asked.
            await asyncio.gather(*(hub.publish("t", f"{number} " + "x" * size) for number in range(700)))
            heard = len(stream.comments)
            await asyncio.sleep(62)
            assert b"data: " not in stream.received
            assert len(stream.comments) - heard in (11, 12)
            log.gate.set()
            events = await stream.events(700)
            assert [int(event.data.split()[0]) for event in events] == list(range(700))

    run(main())
