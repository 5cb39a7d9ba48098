"""How long the client means to wait: told by the state's `delay`, and never measured."""

from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest

from unbroken.client import StateChange
from unbroken.errors import ReconnectFailed

from .origin import answering, event, refusing, streaming
from .reading import READERS, Read

both = pytest.mark.parametrize("read", READERS.values(), ids=READERS)


def waiting(change: StateChange) -> bool:
    """Whether it is about to wait: enough to know for how long."""
    return change.delay is not None and change.delay > 1


@both
def test_the_reconnection_time_is_the_least_wait(read: Read) -> None:
    """And at most as much again is added, so that many clients do not come back at once."""
    with answering(streaming(b"retry: 7000\n\n" + event(1))) as origin:
        reading = read(origin.url, leave_on=waiting, reconnect_delay=3)
    assert 7 <= reading.delays[0] <= 10


@both
def test_a_server_may_ask_for_no_wait(read: Read) -> None:
    """With `retry: 0` it is asked again at once, whatever the client's own delay."""
    with answering(streaming(b"retry: 0\n\n" + event(1)), refusing("204 No Content")) as origin:
        reading = read(origin.url, reconnect_delay=3600, max_delay=3600)
    assert (reading.delays, reading.states) == ([0.0], "ocx")


@both
def test_the_reconnection_time_is_kept_over_connections(read: Read) -> None:
    """WHATWG 9.2.2: it belongs to the event source, not to the connection."""
    with answering(streaming(b"retry: 20\n\n" + event(1)), streaming(event(2)), refusing("204 No Content")) as origin:
        reading = read(origin.url)
    assert [delay >= 0.02 for delay in reading.delays] == [True, True]


@both
@pytest.mark.parametrize("status", ["503 Busy", "429 Slowly"])
def test_retry_after_in_seconds(status: str, read: Read) -> None:
    """It is the least wait, also at the first connection."""
    with answering(refusing(status, {"Retry-After": "90"})) as origin:
        reading = read(origin.url, leave_on=waiting)
    assert reading.delays == [90.0]


@both
def test_retry_after_as_a_date(read: Read) -> None:
    """A date is the wait until then."""
    date = format_datetime(datetime.now(UTC) + timedelta(seconds=90), usegmt=True)
    with answering(refusing("503 Busy", {"Retry-After": date})) as origin:
        reading = read(origin.url, leave_on=waiting)
    assert 30 < reading.delays[0] <= 90


@both
@pytest.mark.parametrize("value", ["", "soon", "-5", "1.5", "Wed, 21 Oct 2015 07:28:00 GMT", "Wed, 99 Foo", "٣"])
def test_retry_after_that_says_nothing(value: str, read: Read) -> None:
    """What is no time, and what is over, adds no wait and is no error."""
    answer = refusing("503 Busy", {"Retry-After": value.encode().decode("latin-1")})
    with answering(answer, refusing("204 No Content")) as origin:
        reading = read(origin.url)
    assert (reading.delays, reading.error, reading.states) == ([0.0], None, "cx")


@both
def test_a_wait_beyond_reason_is_an_hour(read: Read) -> None:
    """Whoever asks for more is taken to be mistaken."""
    with answering(refusing("503 Busy", {"Retry-After": "9" * 40})) as origin:
        reading = read(origin.url, leave_on=waiting)
    assert reading.delays == [3600.0]


@both
def test_the_wait_grows_to_its_cap(read: Read) -> None:
    """Each failure doubles the window from which a wait is drawn, up to `max_delay`."""
    random.seed(1)
    with answering(refusing("503 Busy")) as origin:
        reading = read(origin.url, reconnect_delay=0.001, max_delay=0.02, max_attempts=12)
    windows = [min(0.02, 0.001 * 2**failures) for failures in range(1, 12)]
    assert [delay <= window for delay, window in zip(reading.delays, windows, strict=True)] == [True] * 11
    assert max(reading.delays) > 0.01
    assert [change.failures for change in reading.changes] == list(range(1, 13))


@both
def test_life_makes_the_wait_short_again(read: Read) -> None:
    """After a byte has come, it is as if nothing had ever failed."""
    random.seed(1)
    busy = refusing("503 Busy")
    with answering(*[busy] * 5, streaming(event(1)), busy, refusing("204 No Content")) as origin:
        reading = read(origin.url, reconnect_delay=0.001)
    assert [change.failures for change in reading.changes] == [1, 2, 3, 4, 5, 5, 0, 1, 1]
    assert reading.delays[5] <= 0.001


@both
def test_time_is_up_before_a_wait_that_would_pass_it(read: Read) -> None:
    """`reconnect_timeout` is looked at before a wait, not after it."""
    with answering(streaming(event(1)), refusing("503 Busy", {"Retry-After": "90"})) as origin:
        reading = read(origin.url, reconnect_timeout=60)
    assert (reading.states, len(origin.requests)) == ("ocx", 2)
    assert isinstance(reading.error, ReconnectFailed)
    assert "reconnect_timeout" in str(reading.error)
