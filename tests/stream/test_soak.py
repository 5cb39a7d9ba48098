"""Streams whose client, server and generator act at random moments: what must hold whatever comes first."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator
from typing import Any

import pytest

from tests.stream.support import Recorded
from unbroken import StreamClosed, while_connected
from unbroken.observe import Cleanup

PAUSES = (0, 0, 0.001, 0.004)


class Run:
    """One stream, all of whose moments follow from a seed."""

    def __init__(self, seed: int) -> None:
        self.chance = random.Random(seed)
        self.yielded = 0
        self.told = False
        self.left = False
        self.cleanups = [0, 0]
        self.sending = False
        self.ended = False
        self.body = b""
        self.app = Recorded(
            self.generator(),
            heartbeat=0.05,
            start_grace=self.chance.choice((0, 0.005, 1.0)),
            max_age=self.chance.choice((None, None, 0.03)),
            cleanup_timeout=5.0,
        )

    async def generator(self) -> AsyncIterator[str]:
        """Yield numbers, with or without waits, scopes and timeouts around them, and clean up with awaits."""
        self.cleanups[0] += 1
        try:
            match self.chance.randrange(3):
                case 0:
                    async for item in self.numbers():
                        yield item
                case 1:
                    async with while_connected():
                        async for item in self.numbers():
                            yield item
                case _:
                    async with asyncio.timeout(self.chance.choice((0.005, 5))):
                        async for item in self.numbers():
                            yield item
        except TimeoutError:
            pass
        except (StreamClosed, asyncio.CancelledError) as exc:
            self.told = True
            await asyncio.sleep(0)
            if isinstance(exc, asyncio.CancelledError):
                raise
        finally:
            await asyncio.sleep(0.001)
            self.cleanups[1] += 1

    async def numbers(self) -> AsyncIterator[str]:
        """Count."""
        for _ in range(self.chance.randrange(120)):
            if self.chance.random() < 0.4:
                await asyncio.sleep(self.chance.choice(PAUSES))
            self.yielded += 1
            yield str(self.yielded)

    async def send(self, message: Any) -> None:
        """Take a message slowly, as a client with little room does."""
        assert not self.sending, "two writes at once"
        assert not self.ended, "a write after the end"
        self.sending = True
        try:
            if self.chance.random() < 0.3:
                await asyncio.sleep(self.chance.choice(PAUSES))
            self.body += message.get("body", b"")
            self.ended = message.get("more_body", message["type"] == "http.response.start") is False
        finally:
            self.sending = False

    async def receive(self) -> Any:
        """Leave at some moment, or never."""
        await asyncio.sleep(self.chance.choice((0, 0.002, 0.01, 0.02, 3600)))
        self.left = True
        return {"type": "http.disconnect"}

    async def play(self) -> None:
        """Run the stream, and cancel it from outside in some runs."""
        task = asyncio.create_task(self.app({"type": "http", "method": "GET", "path": "/"}, self.receive, self.send))
        if self.chance.random() < 0.15:
            await asyncio.sleep(self.chance.choice(PAUSES) * 3)
            self.left = task.cancel() or self.left
        await asyncio.wait([task], timeout=10)
        assert task.done(), "the response did not end"
        self.check()

    def check(self) -> None:
        """Hold what was seen against what was promised."""
        if not self.app.records:
            assert self.cleanups == [0, 0]  # cancelled before its first moment
            return
        record = self.app.record
        # One that ends by itself may be told of its client's leaving while it cleans up; any other is told before.
        assert self.cleanups[0] == self.cleanups[1] or not self.told
        assert record.cleanup is Cleanup.FINISHED
        received = [int(line[6:]) for line in self.body.splitlines() if line[:6] == b"data: " and line[6:].isdigit()]
        assert received == list(range(1, len(received) + 1))
        assert record.events <= len(received) <= self.yielded
        # Who leaves during the farewell of max_age gets no more of it; the first reason stays.
        if record.reason == "completed" or (record.reason == "max_age" and not self.left):
            assert (len(received), self.ended) == (self.yielded, True)


def play(seeds: range) -> None:
    """Play the seeds, some at a time."""

    async def main() -> None:
        for first in range(seeds.start, seeds.stop, 50):
            runs = [Run(seed) for seed in range(first, min(first + 50, seeds.stop))]
            outcomes = await asyncio.gather(*(run.play() for run in runs), return_exceptions=True)
            failed = {first + number: exc for number, exc in enumerate(outcomes) if exc is not None}
            assert failed == {}
        await asyncio.sleep(0)
        assert asyncio.all_tasks() == {asyncio.current_task()}

    asyncio.run(main())


def test_any_order_of_events_keeps_the_promises() -> None:
    """Nothing is lost, doubled or reordered, no write follows the end, every cleanup runs to its end, once."""
    play(range(300))


@pytest.mark.soak
@pytest.mark.timeout(1200)
def test_any_order_of_events_keeps_the_promises_for_long() -> None:
    """The same, for many more."""
    play(range(1000, 31_000))
