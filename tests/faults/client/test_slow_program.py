"""A program that takes its time: the sender meets backpressure, and the program loses nothing."""

from __future__ import annotations

import asyncio
import threading

import pytest

from unbroken.client import EventSource, SyncEventSource

from .origin import UNTIL_CLOSE, Exchange, Origin, answering, event, refusing, streaming

BLOCK = b"data: %s\n\n" % (b"x" * 1000)
MUCH = 64 * 1024 * 1024


class Flood:
    """Sends without end, until nothing more is taken for a while."""

    def __init__(self) -> None:
        self.sent = 0
        self.stuck = threading.Event()

    def __call__(self, exchange: Exchange) -> None:
        exchange.connection.settimeout(0.3)
        exchange.send(UNTIL_CLOSE)
        try:
            while self.sent < MUCH:
                self.sent += exchange.connection.send(BLOCK * 64)
        except TimeoutError:
            self.stuck.set()
            exchange.hold()


@pytest.fixture
def flood() -> Flood:
    """Return a server's answer that does not end."""
    return Flood()


def check(flood: Flood, source: SyncEventSource | EventSource) -> None:
    """Compare what was sent with what was read."""
    assert flood.stuck.is_set()
    assert flood.sent < MUCH / 4  # what the two kernels hold
    assert source.stats.bytes < 2**20


def test_backpressure_sync(flood: Flood) -> None:
    """While the program handles an event, nothing is read: what is sent stays with the sender."""
    with answering(flood) as origin, SyncEventSource(origin.url) as events:
        next(events)
        assert flood.stuck.wait(10)
        check(flood, events)


def test_backpressure_async(flood: Flood) -> None:
    """As above; though the loop is free to read."""

    async def main(origin: Origin) -> None:
        async with EventSource(origin.url) as events:
            await anext(events)
            assert await asyncio.to_thread(flood.stuck.wait, 10)
            check(flood, events)

    with answering(flood) as origin:
        asyncio.run(main(origin))


def test_a_timeout_around_the_next_event_loses_nothing() -> None:
    """It breaks off the wait, and not the connection: every event comes, once, over the one connection."""
    pieces = [event(number)[cut : cut + 5] for number in range(1, 201) for cut in range(0, 20, 5)]

    async def main(origin: Origin) -> None:
        seen, timeouts = list[str](), 0
        async with EventSource(origin.url, reconnect="faults") as events, asyncio.timeout(15):
            while True:
                try:
                    async with asyncio.timeout(0):
                        seen.append((await anext(events)).data)
                except TimeoutError:
                    timeouts += 1
                    await asyncio.sleep(0)
                except StopAsyncIteration:
                    break
        assert seen == [str(number) for number in range(1, 201)]
        assert (timeouts > 0, events.stats.connections) == (True, 1)

    with answering(streaming(*pieces)) as origin:
        asyncio.run(main(origin))


def test_a_timeout_while_it_waits_to_connect_again() -> None:
    """The attempts go on where they were, and are not begun anew by each call."""
    busy = refusing("503 Busy")

    async def main(origin: Origin) -> None:
        async with EventSource(origin.url, reconnect_delay=0.001, max_delay=0.002) as events, asyncio.timeout(15):
            seen, timeouts = [(await anext(events)).data], 0
            while len(seen) < 2:
                try:
                    async with asyncio.timeout(0):
                        seen.append((await anext(events)).data)
                except TimeoutError:
                    timeouts += 1
                    await asyncio.sleep(0)
        assert (seen, timeouts > 10, len(origin.requests)) == (["1", "2"], True, 23)

    with answering(streaming(event(1)), *[busy] * 21, streaming(event(2), end="hold")) as origin:
        asyncio.run(main(origin))
