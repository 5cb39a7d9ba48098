"""Guarded streams whose client, server and application act at random moments: what must hold whatever comes first."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator
from typing import Any

import pytest
from starlette.responses import StreamingResponse

from tests.stream.guarding import START, Guarded, no_other_tasks, piece
from unbroken import StreamClosed
from unbroken.observe import Cleanup
from unbroken.testing import VirtualClock
from unbroken.wire import Decoder

PAUSES = (0, 0, 0.25, 0.5, 1.0, 2.0)


class Run:
    """One stream, all of whose moments follow from a seed."""

    def __init__(self, seed: int) -> None:
        self.chance = random.Random(seed)
        self.sent = 0
        self.cancelled = self.left = False
        self.sending = self.complete = False
        self.body = b""
        kind = self.chance.choice((self.plain, self.plain, self.listening, self.framework))
        self.guarded = Guarded(
            kind,
            heartbeat=0.5,
            start_grace=self.chance.choice((0, 0.25, 1.0)),
            max_age=self.chance.choice((None, None, 6.0)),
            max_age_jitter=0.5,
            cleanup_timeout=200,
            send_timeout=None,
        )

    async def pause(self, probability: float) -> None:
        """Pause, or do not even let the loop turn."""
        if self.chance.random() < probability:
            await asyncio.sleep(self.chance.choice(PAUSES))

    async def events(self) -> AsyncIterator[bytes]:
        """Count, cut into pieces anywhere, and fail now and then."""
        for _ in range(self.chance.randrange(60)):
            self.sent += 1
            event = b"data: %d\n\n" % self.sent
            place = self.chance.randrange(len(event))
            for part in (event[:place], event[place:]):
                await self.pause(0.3)
                yield part
            if self.chance.random() < 0.005:
                raise KeyError(self.sent)

    async def plain(self, scope: Any, receive: Any, send: Any) -> None:
        """Send without ever listening; clean up when told."""
        await self.pause(0.5)
        await send(START)
        try:
            async for part in self.events():
                await send(piece(part))
            await send(piece(b"", more_body=False))
        except (StreamClosed, asyncio.CancelledError):
            await asyncio.sleep(0.25)
            if self.chance.random() < 0.5 or self.cancelled:
                raise

    async def listening(self, scope: Any, receive: Any, send: Any) -> None:
        """Wait for the disconnect beside the sending, and stop at it."""
        sending = asyncio.create_task(self.plain(scope, receive, send))
        hearing = asyncio.create_task(receive())
        sending.add_done_callback(lambda _: sending.cancelled() or sending.exception())  # seen, if we are cancelled
        try:
            await asyncio.wait([sending, hearing], return_when=asyncio.FIRST_COMPLETED)
        finally:
            hearing.cancel()
            if self.chance.random() < 0.5:
                sending.cancel()
            await asyncio.wait([sending, hearing])
        if not sending.cancelled():
            sending.result()

    async def framework(self, scope: Any, receive: Any, send: Any) -> None:
        """Stream with Starlette."""
        await StreamingResponse(self.events(), media_type="text/event-stream")(scope, receive, send)

    async def send(self, message: Any) -> None:
        """Take a message slowly, as a client with little room does."""
        assert not self.sending, "two writes at once"
        assert not self.complete, "a write after the end"
        self.sending = True
        try:
            await self.pause(0.3)
            self.body += message.get("body", b"")
            self.complete = message.get("more_body", message["type"] == "http.response.start") is False
        finally:
            self.sending = False

    async def receive(self) -> Any:
        """Leave at some moment, or never."""
        await asyncio.sleep(self.chance.choice((0, 1.0, 4.0, 10.0, 3600)))
        self.left = True
        return {"type": "http.disconnect"}

    async def play(self) -> None:
        """Run the stream, and cancel it from outside in some runs."""
        spec_version = self.chance.choice(("2.3", "2.4"))
        asgi = {"version": "3.0", "spec_version": spec_version}
        scope = {"type": "http", "method": "GET", "path": "/", "headers": [], "asgi": asgi}
        task = asyncio.create_task(self.guarded(scope, self.receive, self.send))
        if self.chance.random() < 0.2:
            await asyncio.sleep(self.chance.choice(PAUSES) * 3)
            self.cancelled = task.cancel()
        await asyncio.wait([task], timeout=300)
        assert task.done(), "the application did not end"
        self.check(task)

    def check(self, task: asyncio.Task[None]) -> None:
        """Hold what was seen against what was promised."""
        if not self.guarded.records:
            assert self.cancelled or self.left  # before its first moment
            return
        record = self.guarded.record
        assert self.guarded.cancelling == [int(self.cancelled)]
        assert record.cleanup is not Cleanup.ABANDONED
        if not task.cancelled():
            assert isinstance(task.exception(), KeyError if record.reason == "producer_error" else type(None))
        numbers = [int(event.data) for event in Decoder().feed(self.body) if event.event == "message"]
        assert numbers == list(range(1, len(numbers) + 1))
        assert record.events <= len(numbers) <= self.sent
        if record.reason == "completed":
            assert (len(numbers), self.complete) == (self.sent, True)
        # Who leaves during the farewell of max_age gets no more of it; the first reason stays.
        if record.reason == "max_age" and not (self.left or self.cancelled):
            assert self.complete


def play(seeds: range) -> None:
    """Play the seeds, some at a time."""

    async def main() -> None:
        for first in range(seeds.start, seeds.stop, 50):
            runs = [Run(seed) for seed in range(first, min(first + 50, seeds.stop))]
            outcomes = await asyncio.gather(*(run.play() for run in runs), return_exceptions=True)
            failed = {first + number: exc for number, exc in enumerate(outcomes) if exc is not None}
            assert failed == {}
            await no_other_tasks()

    VirtualClock().run(main())


def test_any_order_of_events_keeps_the_promises() -> None:
    """Nothing is lost, doubled or reordered, no write follows the end, no task and no cancellation is left."""
    play(range(300))


@pytest.mark.soak
@pytest.mark.timeout(1200)
def test_any_order_of_events_keeps_the_promises_for_long() -> None:
    """The same, for many more."""
    play(range(1000, 21_000))
