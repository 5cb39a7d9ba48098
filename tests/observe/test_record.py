"""The record of a stream: every number of it, on a clock that jumps."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator
from dataclasses import FrozenInstanceError

import pytest

from tests.observe.records import record
from tests.stream.support import Recorded
from unbroken import CloseReason
from unbroken.observe import Cleanup, StreamRecord
from unbroken.stream.limits import Limits
from unbroken.stream.wheel import RESOLUTION
from unbroken.testing import open_stream, run_with_virtual_clock
from unbroken.wire import HEARTBEAT


async def played() -> AsyncIterator[str]:
    """Speak at 0.25, 0.25, 20.25 and 23.25 seconds, and take a second to end."""
    await asyncio.sleep(0.25)
    yield "one"
    yield "two"
    await asyncio.sleep(20)
    yield "three"
    await asyncio.sleep(3)
    try:
        yield "four"
        await asyncio.Event().wait()
    finally:
        await asyncio.sleep(1)
        yield "to nobody"


async def play(app: Recorded) -> None:
    """Leave 2.5 seconds after the fourth event."""
    async with open_stream(
        app, "/events", client=("192.0.2.1", 5000), headers={"x-user": "ann"}, timeout=1000
    ) as stream:
        await stream.events(4)
        await asyncio.sleep(2.5)
        await stream.disconnect()
        await stream.wait_closed()


def test_every_field_of_a_played_stream_is_exact() -> None:
    """What was sent, discarded and waited for is what the record says, to the byte and to the tick of the clock."""
    limits = Limits(key=lambda connection: connection.headers["x-user"])
    app = Recorded(played(), limits=limits)
    before = time.time()
    run_with_virtual_clock(play(app))
    assert before <= app.record.opened_at <= time.time()
    assert app.record == StreamRecord(
        id=app.record.id,
        reason=CloseReason.CLIENT_CLOSED,
        method="GET",
        path="/events",
        route=None,
        client="192.0.2.1:5000",
        key="ann",
        opened_at=app.record.opened_at,
        duration=26.75,
        first_byte=0.25,
        longest_silence=15.0,
        last_silence=2.5,
        events=4,
        discarded=1,
        heartbeats=1,
        sent_bytes=len(b"data: one\n\ndata: two\n\ndata: three\n\ndata: four\n\n" + HEARTBEAT),
        cleanup=Cleanup.FINISHED,
        error=None,
    )


def test_the_last_silence_may_be_the_longest() -> None:
    """Where nothing fills it, it lasts from the last byte to the end."""

    async def one() -> AsyncIterator[str]:
        yield "x"
        await asyncio.Event().wait()

    async def main() -> None:
        async with open_stream(app, timeout=1000) as stream:
            await stream.next_event()
            await asyncio.sleep(40)

    app = Recorded(one(), heartbeat=None)
    run_with_virtual_clock(main())
    assert (app.record.longest_silence, app.record.last_silence, app.record.duration) == (40.0, 40.0, 40.0)


def test_a_stream_that_never_began_has_no_first_byte() -> None:
    """Its producer failed before the headers left: there is the error, and nothing was sent."""

    async def failing() -> AsyncIterator[str]:
        await asyncio.sleep(0.125)
        raise ValueError("secret")
        yield ""

    async def main() -> None:
        async with open_stream(app, wait_for_start=False, raise_app_errors=False) as stream:
            await stream.wait_closed()

    app = Recorded(failing())
    run_with_virtual_clock(main())
    ended = app.record
    assert (ended.reason, ended.error_type) == (CloseReason.PRODUCER_ERROR, "ValueError")
    assert (ended.first_byte, ended.sent_bytes, ended.events) == (None, 0, 0)
    assert (ended.duration, ended.longest_silence, ended.last_silence) == (0.125, 0.125, 0.125)


def test_an_end_by_the_server_is_counted_in_bytes_and_in_no_events() -> None:
    """The control event at the end is ours, not the producer's."""

    async def one() -> AsyncIterator[str]:
        yield "x"
        await asyncio.Event().wait()

    async def main() -> bytes:
        async with open_stream(app, timeout=1000) as stream:
            await stream.until_end()
            return stream.received

    app = Recorded(one(), max_age=10, max_age_jitter=0)
    received = run_with_virtual_clock(main())
    assert app.record.sent_bytes == len(received)
    assert app.record.events == 1
    assert app.record.last_silence == pytest.approx(10, abs=2 * RESOLUTION)


def test_a_record_goes_through_json() -> None:
    """As plain data it has every field but the error's object, of which there is the name."""
    plain = record(error=KeyError("secret"), first_byte=None).as_dict()
    assert json.loads(json.dumps(plain)) == plain
    assert list(plain) == [*(name for name in StreamRecord.__slots__ if name != "error"), "error"]
    assert (plain["reason"], plain["cleanup"], plain["error"]) == ("completed", "finished", "KeyError")
    assert type(plain["reason"]) is type(plain["cleanup"]) is str
    assert "secret" not in json.dumps(plain)


def test_a_record_is_a_value() -> None:
    """It cannot be changed behind anyone's back."""
    with pytest.raises(FrozenInstanceError):
        record().events = 8  # type: ignore[misc]
