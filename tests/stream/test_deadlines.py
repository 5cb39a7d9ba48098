"""Heartbeats and the other deadlines of a stream, on a clock that jumps."""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import AsyncIterator
from typing import Any

import pytest
from starlette.exceptions import HTTPException

from tests.stream.support import Recorded
from unbroken import ClientDisconnected, CloseReason, ServerClosing, while_connected
from unbroken.observe import Cleanup
from unbroken.testing import open_stream, run_with_virtual_clock
from unbroken.wire import HEARTBEAT

pytestmark = pytest.mark.core


async def silent() -> AsyncIterator[str]:
    """Say nothing, for ever."""
    await asyncio.Event().wait()
    yield ""


async def received_within(app: Any, seconds: float) -> bytes:
    """Return what a client has received after so many seconds."""
    async with open_stream(app, wait_for_start=False, timeout=1000) as stream:
        await asyncio.sleep(seconds)
        return stream.received


def test_heartbeats_begin_with_the_response_and_follow_silence() -> None:
    """A stream whose first item never comes is kept alive from its start on, every 15 seconds."""
    app = Recorded(silent())
    received = run_with_virtual_clock(received_within(app, 61))
    assert received == HEARTBEAT * 5  # the start at 0.5 s, then at 15.5, 30.5, 45.5 and 60.5
    assert app.record.heartbeats == 4
    assert app.record.events == 0


def test_a_stream_that_speaks_has_no_heartbeats() -> None:
    """Only silence is filled: an event every ten seconds leaves none of it."""

    async def speaking() -> AsyncIterator[str]:
        while True:
            yield "x"
            await asyncio.sleep(10)

    app = Recorded(speaking())
    received = run_with_virtual_clock(received_within(app, 65))
    assert HEARTBEAT not in received
    assert (app.record.events, app.record.heartbeats) == (7, 0)


def test_the_interval_counts_from_the_last_event() -> None:
    """A heartbeat comes that long after the last bytes, not at a beat of its own."""
    times: list[float] = []

    async def speaking() -> AsyncIterator[str]:
        for pause in (10, 20, 10):
            await asyncio.sleep(pause)
            yield "x"
        await asyncio.sleep(100)

    async def main() -> None:
        loop = asyncio.get_running_loop()
        async with open_stream(app, timeout=1000) as stream:
            for _ in range(3):
                await stream.next_comment()
                times.append(round(loop.time() - begin, 1))

    begin = 0.0

    async def timed() -> None:
        nonlocal begin
        begin = asyncio.get_running_loop().time()
        await main()

    app = Recorded(speaking())
    run_with_virtual_clock(timed())
    assert times[0] == pytest.approx(0.5, abs=0.2)  # the start
    assert times[1] == pytest.approx(25, abs=0.2)  # 15 s after the event at 10 s
    assert times[2] == pytest.approx(55, abs=0.2)  # 15 s after the event at 40 s


def test_heartbeats_can_be_named_or_off() -> None:
    """A named one is an event with empty data that a script can see; None sends none."""
    named = run_with_virtual_clock(received_within(Recorded(silent(), heartbeat=5, heartbeat_event="beat"), 6))
    assert named == HEARTBEAT + b"event: beat\ndata:\n\n"
    assert run_with_virtual_clock(received_within(Recorded(silent(), heartbeat=None), 600)) == HEARTBEAT


def test_a_heartbeat_never_stands_inside_an_event() -> None:
    """A body that leaves in many pieces, to a slow client, is not interrupted by one."""

    async def large() -> AsyncIterator[str]:
        yield "x" * 1_000_000
        await asyncio.Event().wait()

    async def main() -> bytes:
        async with open_stream(app, buffer_messages=0, timeout=1000) as stream:
            stream.freeze()
            await asyncio.sleep(20)
            stream.thaw()
            await stream.next_event()
            await asyncio.sleep(20)
            return stream.received

    app = Recorded(large(), heartbeat=3, send_timeout=None)
    received = run_with_virtual_clock(main())
    assert received.startswith(b"data: " + b"x" * 1_000_000 + b"\n\n: keep-alive\n\n")


def test_a_client_that_stops_reading_is_given_up() -> None:
    """A write that waits for `send_timeout` ends the stream, and the generator is told at its yield."""
    seen: list[object] = []

    async def busy() -> AsyncIterator[str]:
        try:
            while True:
                yield "x" * 1000
        except ClientDisconnected as exc:
            seen.append(exc.reason)

    async def main() -> float:
        loop = asyncio.get_running_loop()
        async with open_stream(app, timeout=1000) as stream:
            await stream.next_event()
            stream.freeze()
            begin = loop.time()
            await stream.wait_closed()
            return loop.time() - begin

    app = Recorded(busy(), send_timeout=7)
    waited = run_with_virtual_clock(main())
    assert seen == [CloseReason.SEND_TIMEOUT]
    assert 7 <= waited < 8
    assert app.record.reason is CloseReason.SEND_TIMEOUT


def test_a_heartbeat_that_cannot_be_written_meets_the_send_timeout() -> None:
    """An idle stream whose client reads nothing is given up as well, through its heartbeats."""

    async def main() -> None:
        async with open_stream(app, buffer_messages=0, timeout=1000) as stream:
            stream.freeze()
            await stream.wait_closed()

    app = Recorded(silent(), send_timeout=7)
    run_with_virtual_clock(main())
    assert app.record.reason is CloseReason.SEND_TIMEOUT


def test_a_slow_client_is_waited_for() -> None:
    """Without a timeout a write waits as long as it takes, and nothing is lost."""

    async def counting() -> AsyncIterator[str]:
        for number in range(50):
            yield f"{number}"
            await asyncio.sleep(0)

    async def main() -> list[str]:
        async with open_stream(app, buffer_messages=1, timeout=100_000) as stream:
            stream.freeze()
            await asyncio.sleep(10_000)
            stream.thaw()
            return [event.data for event in await stream.until_end()]

    app = Recorded(counting(), send_timeout=None)
    assert run_with_virtual_clock(main()) == [str(number) for number in range(50)]


def test_max_age_ends_a_silent_stream_in_good_order() -> None:
    """A generator that waits outside any scope is cancelled; its client gets `stream-end` and a complete body."""

    async def main() -> tuple[bytes, str | None]:
        async with open_stream(app, timeout=1000) as stream:
            await stream.until_end()
            return stream.received, stream.ended

    app = Recorded(silent(), max_age=100, max_age_jitter=0)
    received, ended = run_with_virtual_clock(main())
    assert received == HEARTBEAT * 7 + b'event: stream-end\ndata: {"reason":"max_age"}\n\n'
    assert ended == "complete"
    assert app.record.reason is CloseReason.MAX_AGE
    assert 100 <= app.record.duration < 101


def test_a_farewell_has_the_cleanup_timeout() -> None:
    """A generator that goes on yielding after ServerClosing is closed when its time is over; the body still ends."""

    async def talkative() -> AsyncIterator[str]:
        while True:
            try:
                async with while_connected():
                    yield "x"
                    await asyncio.sleep(1)
            except ConnectionResetError:
                continue

    async def main() -> str | None:
        async with open_stream(app, timeout=1000) as stream:
            events = await stream.until_end()
            assert events[-1].event == "stream-end"
            assert len([event for event in events if event.data == "x"]) == pytest.approx(25, abs=2)
            return stream.ended

    app = Recorded(talkative(), max_age=20, max_age_jitter=0, cleanup_timeout=5)
    assert run_with_virtual_clock(main()) == "complete"
    assert app.record.cleanup is Cleanup.CANCELLED
    assert app.record.duration < 27


def test_a_client_that_leaves_during_the_farewell_ends_it() -> None:
    """The first reason stays, and what is yielded from then on is discarded."""

    async def talkative() -> AsyncIterator[str]:
        yield "x"
        try:
            await asyncio.sleep(1000)
        except asyncio.CancelledError:
            yield "bye"
            await asyncio.sleep(2)
            yield "to nobody"

    async def main() -> None:
        async with open_stream(app, timeout=1000) as stream:
            while (await stream.next_event()).data != "bye":
                pass
            await stream.disconnect()
            await stream.wait_closed()

    app = Recorded(talkative(), max_age=20, max_age_jitter=0)
    run_with_virtual_clock(main())
    assert app.record.reason is CloseReason.MAX_AGE
    assert app.record.discarded == 1
    assert app.record.cleanup is Cleanup.FINISHED


def test_a_stream_whose_write_is_stuck_is_told_of_its_age() -> None:
    """A client that takes nothing gets no farewell; the generator is told, and is not said to have swallowed it."""
    seen: list[object] = []

    async def busy() -> AsyncIterator[str]:
        try:
            while True:
                yield "x" * 1000
        except ServerClosing as exc:
            seen.append(exc.reason)

    async def main() -> None:
        async with open_stream(app, timeout=1000) as stream:
            await stream.next_event()
            stream.freeze()
            await stream.wait_closed()

    app = Recorded(busy(), max_age=20, max_age_jitter=0, send_timeout=None, cleanup_timeout=5)
    run_with_virtual_clock(main())
    assert seen == [CloseReason.MAX_AGE]
    assert (app.record.reason, app.record.cleanup) == (CloseReason.MAX_AGE, Cleanup.FINISHED)


@pytest.mark.skipif(sys.version_info < (3, 12), reason="eager tasks came with Python 3.12")
def test_heartbeats_go_on_under_an_eager_task_factory() -> None:
    """A heartbeat whose task ends in the line that starts it does not block the next."""

    async def main() -> bytes:
        asyncio.get_running_loop().set_task_factory(asyncio.eager_task_factory)  # type: ignore[attr-defined, unused-ignore]
        return await received_within(app, 61)

    app = Recorded(silent())
    assert run_with_virtual_clock(main()) == HEARTBEAT * 5


def test_an_error_right_at_the_grace_s_end_is_a_real_one() -> None:
    """Headers that were about to leave alone do not hide it."""

    async def late() -> AsyncIterator[str]:
        # A long turn of the loop, the very next, after which both are due.
        asyncio.get_running_loop().call_soon(time.sleep, 0.3)
        await asyncio.sleep(0.2)
        raise HTTPException(404)
        yield ""

    async def main() -> bool:
        app = Recorded(late(), start_grace=0.2)
        async with open_stream(app, raise_app_errors=False, wait_for_start=False) as stream:
            await stream.wait_closed(10)
            assert isinstance(stream.error, HTTPException)
            return stream.has_started

    assert asyncio.run(main()) is False
