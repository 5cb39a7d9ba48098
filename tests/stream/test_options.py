"""The arguments of a stream: what is drawn at random stays in its bounds, and what cannot work is named."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from tests.stream.support import Recorded
from unbroken import CloseReason, EncodeError, EventSourceResponse, EventStreamGuard
from unbroken.errors import ConfigurationError
from unbroken.stream.drain import drain
from unbroken.stream.options import StreamOptions
from unbroken.testing import DrivenStream, open_stream, run_with_virtual_clock
from unbroken.wire import Decoder

pytestmark = pytest.mark.core

SILENT: tuple[str, ...] = ()


async def silent() -> AsyncIterator[str]:
    """Say nothing, for ever."""
    await asyncio.Event().wait()
    yield ""


def options_of(**arguments: Any) -> StreamOptions:
    """Return the checked options of a response."""
    return EventSourceResponse(SILENT, **arguments).options


async def durations(count: int, **options: Any) -> list[float]:
    """Open streams together and return how long they lived."""
    apps = [Recorded(silent(), **options) for _ in range(count)]

    async def read(app: Recorded) -> float:
        async with open_stream(app, timeout=10_000) as stream:
            await stream.until_end()
        return app.record.duration

    return await asyncio.gather(*map(read, apps))


def test_streams_that_began_together_do_not_end_together() -> None:
    """With max_age=100 and a jitter of 0.1 they end between 90 and 100 s, spread over all of it."""
    ends = run_with_virtual_clock(durations(200, max_age=100, max_age_jitter=0.1))
    assert all(90 <= end < 100.1 for end in ends)
    assert min(ends) < 95 < max(ends)
    assert len({round(end, 1) for end in ends}) > 20


def test_a_tenth_is_the_jitter_by_default() -> None:
    """It is there unless it is turned off, since nobody thinks of it before the first storm of reconnections."""
    ages = [options_of(max_age=1000).some_age() for _ in range(200)]
    assert all(age is not None and 900 <= age <= 1000 for age in ages)
    assert len(set(ages)) > 100


def test_without_jitter_a_stream_lives_to_its_age() -> None:
    """Exactly, but for the clock's resolution; and without an age it has none."""
    assert {options_of(max_age=100, max_age_jitter=0).some_age() for _ in range(50)} == {100.0}
    assert options_of().some_age() is None


async def drained(count: int, **options: Any) -> list[DrivenStream]:
    """Open streams, drain them, and return what their clients saw."""
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(_to_the_end(Recorded(silent(), **options))) for _ in range(count)]
        await asyncio.sleep(1)
        assert await drain() == count
    return [task.result() for task in tasks]


async def _to_the_end(app: Recorded) -> DrivenStream:
    async with open_stream(app, timeout=1000) as stream:
        await stream.until_end()
    assert app.record.reason is CloseReason.SHUTDOWN
    return stream


def test_a_shutdown_spreads_the_reconnections() -> None:
    """Each client is told another time to come back, within the window, and then why its stream ends."""
    streams = run_with_virtual_clock(drained(100, drain_retry=(2000, 4000)))
    retries = [stream.retry for stream in streams]
    assert all(retry is not None and 2000 <= retry <= 4000 for retry in retries)
    assert len(set(retries)) > 50
    for stream in streams:
        last_words = b'retry: %d\n\nevent: stream-end\ndata: {"reason":"shutdown"}\n\n' % (stream.retry or 0)
        assert stream.received.endswith(last_words)


def test_the_window_may_be_one_moment() -> None:
    """Its least may be its most, and both may be 0."""
    for moment in (0, 1500):
        (stream,) = run_with_virtual_clock(drained(1, drain_retry=(moment, moment)))
        assert stream.retry == moment


@pytest.mark.parametrize("reason", [CloseReason.MAX_AGE, CloseReason.REVOKED])
def test_only_a_shutdown_tells_a_time(reason: CloseReason) -> None:
    """At other ends the client's own reconnection time is as good."""
    (event,) = (decoder := Decoder()).feed(options_of().last_words(reason))
    assert (event.event, event.data, decoder.retry) == ("stream-end", f'{{"reason":"{reason}"}}', None)


TIMES = ["heartbeat", "send_timeout", "max_age", "dead_peer_timeout"]
GRACES = ["start_grace", "cleanup_timeout", "drain_grace"]
NO_TIMES: list[Any] = [-1, float("nan"), float("inf"), "10", True, [1]]
NO_SHARES: list[Any] = [-0.1, 1.1, float("nan"), None, True, "0.1", {}]
NO_WINDOWS: list[Any] = [
    1000, (1000,), (1, 2, 3), (2000, 1000), (-1, 1000), (0.5, 1.5), (False, True), None, [1000, 6000],
]  # fmt: skip

BAD = [
    *((name, value, "is not a time: give seconds, more than 0, or None") for name in TIMES for value in [0, *NO_TIMES]),
    *((name, value, "is not a time: give seconds, 0 or more") for name in GRACES for value in NO_TIMES),
    *(("max_age_jitter", value, "is no share: give a number from 0 (none) to 1") for value in NO_SHARES),
    *(("drain_retry", value, "is no window: give two integers in milliseconds") for value in NO_WINDOWS),
]


@pytest.mark.parametrize("kind", [EventSourceResponse, EventStreamGuard])
@pytest.mark.parametrize(("name", "value", "text"), BAD, ids=str)
def test_what_cannot_work_is_refused(kind: Any, name: str, value: Any, text: str) -> None:
    """When it is made, and with the argument's name, its value, its limit, and what to give."""
    with pytest.raises(ConfigurationError) as caught:
        kind(SILENT, **{name: value})
    assert f"{name}={value!r} {text}" in str(caught.value)


@pytest.mark.parametrize("arguments", [{"retry": -1}, {"retry": True}, {"heartbeat_event": "a\nb"}], ids=str)
def test_what_would_break_the_framing_is_refused(arguments: dict[str, Any]) -> None:
    """When the response is made, not when its first byte leaves."""
    with pytest.raises(EncodeError):
        EventSourceResponse(SILENT, **arguments)


def test_none_and_nothing_are_times_too() -> None:
    """Every deadline can be turned off, and a grace can be nothing."""
    off = dict.fromkeys((*TIMES, "drain_grace"))
    options = options_of(**off, start_grace=0, cleanup_timeout=0, max_age_jitter=1)
    assert {getattr(options, name) for name in off} == {None}
    assert options_of(drain_grace=0).drain_grace == 0


def test_equal_arguments_share_one_value() -> None:
    """Thousands of streams hold one; but 1 and True are not equal here."""
    assert options_of(heartbeat=7, retry=1) is options_of(heartbeat=7, retry=1)
    with pytest.raises(EncodeError):
        options_of(heartbeat=7, retry=True)
