"""When items are collected, and when they leave."""

from __future__ import annotations

import asyncio
import time
import weakref
from collections.abc import AsyncIterator
from typing import Any

import pytest

from unbroken import EventSourceResponse
from unbroken.stream import producer
from unbroken.testing import open_stream

pytestmark = pytest.mark.core


class Bodies:
    """An application that notes the body messages of a response."""

    def __init__(self, content: Any) -> None:
        self.response = EventSourceResponse(content, start_grace=0)
        self.sent: list[bytes] = []

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        async def noting(message: Any) -> None:
            if message.get("body"):
                self.sent.append(message["body"])
            await send(message)

        await self.response(scope, receive, noting)


def read(app: Any) -> list[str]:
    """Run a stream that ends by itself, and return its data."""

    async def main() -> list[str]:
        async with open_stream(app) as stream:
            return [event.data for event in await stream.until_end()]

    return asyncio.run(main())


def test_a_quick_generator_is_collected_in_bounded_batches() -> None:
    """Once it has proved to be quick, many items share a message, of 128 items at the most."""

    async def quick() -> AsyncIterator[str]:
        for number in range(2000):
            yield f"{number}"

    app = Bodies(quick())
    assert read(app) == [str(number) for number in range(2000)]
    sizes = [body.count(b"\n\n") for body in app.sent]
    assert sizes[: producer.PROVEN - 1] == [1] * (producer.PROVEN - 1)
    assert 1 < max(sizes) <= producer.BATCH_ITEMS


def test_a_generator_that_computes_has_each_item_sent_before_it_goes_on() -> None:
    """No item waits for the computation of the next, though the generator never suspends."""
    sent_before: list[int] = []

    async def computing() -> AsyncIterator[str]:
        for _ in range(2 * producer.PROVEN):
            time.sleep(2 * producer.QUICK)  # the processor's time, not the loop's
            sent_before.append(len(app.sent))
            yield "x"

    app = Bodies(computing())
    read(app)
    assert sent_before == list(range(2 * producer.PROVEN))


def test_large_items_leave_by_size() -> None:
    """16 KiB are enough for a message."""

    async def large() -> AsyncIterator[str]:
        for _ in range(200):
            yield "x" * 5000

    app = Bodies(large())
    assert len(read(app)) == 200
    assert max(map(len, app.sent)) < producer.BATCH_BYTES + 5100


def test_what_was_collected_leaves_before_the_generator_waits() -> None:
    """A generator that is about to wait has all of its items with the client first."""

    async def bursts() -> AsyncIterator[str]:
        for _ in range(3):
            for number in range(100):
                yield f"{number}"
            counts.append(sum(body.count(b"\n\n") for body in app.sent))
            await waiting()

    async def waiting() -> None:
        await asyncio.sleep(0.01)
        counts_after.append(sum(body.count(b"\n\n") for body in app.sent))

    counts: list[int] = []
    counts_after: list[int] = []
    app = Bodies(bursts())
    assert len(read(app)) == 300
    assert counts_after == [100, 200, 300]
    assert counts[0] < 100


def test_a_bare_turn_of_the_loop_is_no_wait() -> None:
    """`sleep(0)` before each item of a quick generator does not make it a message each; all arrive."""

    async def turning() -> AsyncIterator[str]:
        for number in range(1000):
            await asyncio.sleep(0)
            yield f"{number}"

    app = Bodies(turning())
    assert read(app) == [str(number) for number in range(1000)]
    assert len(app.sent) < 900


def test_two_bare_turns_without_an_item_are_a_wait() -> None:
    """What is there leaves then: a generator may turn for as long as it likes."""

    async def spinning() -> AsyncIterator[str]:
        for number in range(100):
            yield f"{number}"
        for _ in range(3):
            await asyncio.sleep(0)
        arrived.append(sum(body.count(b"\n\n") for body in app.sent))

    arrived: list[int] = []
    app = Bodies(spinning())
    read(app)
    assert arrived == [100]


def test_an_item_is_released_when_it_has_been_sent() -> None:
    """A stream that waits holds neither its last item nor the bytes of it."""

    class Large(list[int]):
        pass

    references: list[weakref.ref[Large]] = []

    async def generator() -> AsyncIterator[object]:
        item = Large([1] * 10)
        references.append(weakref.ref(item))
        yield item
        del item
        await asyncio.Event().wait()

    async def main() -> None:
        async with open_stream(EventSourceResponse(generator())) as stream:
            await stream.next_event()
            await stream.until(lambda: references[0]() is None, "the item's release")

    asyncio.run(main())
