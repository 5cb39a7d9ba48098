"""The line for the end of a stream."""

from __future__ import annotations

import logging
from dataclasses import FrozenInstanceError, replace

import pytest

from unbroken import CloseReason
from unbroken.observe import Cleanup, LoggingObserver, StreamRecord

RECORD = StreamRecord(
    id=1,
    reason=CloseReason.CLIENT_CLOSED,
    method="GET",
    path="/events",
    route="/events",
    client="192.0.2.1:5000",
    opened_at=0.0,
    duration=12.34,
    first_byte=0.1,
    longest_silence=3.0,
    last_silence=2.0,
    events=7,
    discarded=0,
    heartbeats=0,
    sent_bytes=100,
    cleanup=Cleanup.FINISHED,
)


def lines(caplog: pytest.LogCaptureFixture, record: StreamRecord) -> list[tuple[int, str]]:
    """Log a record and return levels and texts."""
    caplog.set_level(logging.DEBUG)
    LoggingObserver().closed(record)
    return [(line.levelno, line.getMessage()) for line in caplog.records]


def test_an_orderly_end_is_one_line_at_info(caplog: pytest.LogCaptureFixture) -> None:
    """It names the client, the route, the reason, the time and the events."""
    assert lines(caplog, RECORD) == [(logging.INFO, "192.0.2.1:5000 GET /events: client_closed after 12.3 s, 7 events")]


def test_a_producer_s_error_is_left_to_the_framework(caplog: pytest.LogCaptureFixture) -> None:
    """It is raised and logged there: no traceback twice."""
    (line,) = lines(caplog, replace(RECORD, reason=CloseReason.PRODUCER_ERROR, error=ValueError("x")))
    assert line[0] == logging.INFO
    assert caplog.records[0].exc_info is None


def test_a_failed_cleanup_is_an_error_with_its_traceback(caplog: pytest.LogCaptureFixture) -> None:
    """It is the application's fault, and nobody else tells of it."""
    levels = [level for level, _ in lines(caplog, replace(RECORD, cleanup=Cleanup.FAILED, error=ValueError("x")))]
    assert levels == [logging.INFO, logging.ERROR]
    assert caplog.records[1].exc_info


@pytest.mark.parametrize("cleanup", [Cleanup.CANCELLED, Cleanup.ABANDONED])
def test_a_generator_that_did_not_end_is_a_warning(caplog: pytest.LogCaptureFixture, cleanup: Cleanup) -> None:
    """The line says what such a generator does, and which argument bounds it."""
    _, (level, text) = lines(caplog, replace(RECORD, cleanup=cleanup))
    assert level == logging.WARNING
    assert "cleanup_timeout" in text


def test_a_record_is_a_value() -> None:
    """It cannot be changed behind anyone's back."""
    with pytest.raises(FrozenInstanceError):
        RECORD.events = 8  # type: ignore[misc]
