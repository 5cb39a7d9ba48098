"""The line for the end of a stream."""

from __future__ import annotations

import json
import logging
from dataclasses import replace
from typing import Any

import pytest

from unbroken import CloseReason
from unbroken.observe import Cleanup, Finding, Hop, LoggingObserver, Refusal, StreamRecord

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

REFUSAL = Refusal(
    limit="key", allowed=5, method="GET", path="/events", route="/events", client="192.0.2.1:5000", key="ann"
)
FINDING = Finding(
    counts=Hop.SILENCE,
    seconds=60.0,
    streams=9,
    looked_at=10,
    route="/events",
    likely="nginx",
    advice="heartbeat=25",
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


def test_the_line_carries_the_record_as_data(caplog: pytest.LogCaptureFixture) -> None:
    """A formatter that writes JSON finds all of it in the attribute `stream`."""
    lines(caplog, RECORD)
    (line,) = caplog.records
    assert line.stream == RECORD.as_dict()  # type: ignore[attr-defined]
    assert json.loads(json.dumps(line.stream))["last_silence"] == 2.0  # type: ignore[attr-defined]


def test_where_info_is_off_only_faults_are_logged(caplog: pytest.LogCaptureFixture) -> None:
    """A failed cleanup is still an error there."""
    caplog.set_level(logging.WARNING)
    LoggingObserver().closed(RECORD)
    assert caplog.records == []
    LoggingObserver().closed(replace(RECORD, cleanup=Cleanup.FAILED, error=ValueError("x")))
    assert [line.levelno for line in caplog.records] == [logging.ERROR]


def test_it_may_have_another_logger(caplog: pytest.LogCaptureFixture) -> None:
    """All lines go there."""
    caplog.set_level(logging.DEBUG)
    observer = LoggingObserver(logging.getLogger("elsewhere"))
    observer.closed(replace(RECORD, cleanup=Cleanup.ABANDONED))
    observer.refused(REFUSAL)
    observer.found(FINDING)
    assert [line.name for line in caplog.records] == ["elsewhere"] * 4


def test_a_refusal_is_a_warning(caplog: pytest.LogCaptureFixture) -> None:
    """It names the client, the path, the limit, and how many it allows; the key, which may name a person, not."""
    LoggingObserver().refused(REFUSAL)
    (line,) = caplog.records
    assert line.levelno == logging.WARNING
    assert line.getMessage() == (
        "192.0.2.1:5000 GET /events: refused, 5 streams are open and limit 'key' allows no more"
    )


@pytest.mark.parametrize(
    ("counts", "route", "text"),
    [
        (Hop.SILENCE, "/events", "9 of the last 10 streams of /events ended at a silence of 60 s: nginx. heartbeat=25"),
        (Hop.AGE, None, "9 of the last 10 streams ended at an age of 60 s: nginx. heartbeat=25"),
    ],
)
def test_a_finding_is_a_warning(caplog: pytest.LogCaptureFixture, counts: Hop, route: str | None, text: str) -> None:
    """It says how many streams showed what, on which route, which hop is likely, and what to change."""
    LoggingObserver().found(replace(FINDING, counts=counts, route=route))
    (line,) = caplog.records
    assert (line.levelno, line.getMessage()) == (logging.WARNING, text)


FORGED = "/1\r\nERROR root: forged\x1b[31m\u2028\ud800"
SHOWN = "/1\\r\\nERROR root: forged\\x1b[31m\\u2028\\ud800"


@pytest.mark.parametrize("name", ["method", "path", "client"])
@pytest.mark.parametrize("cleanup", Cleanup)
def test_a_client_forges_no_line_at_an_end(caplog: pytest.LogCaptureFixture, name: str, cleanup: Cleanup) -> None:
    """What it asks for stays in the line that tells of it, whatever is in it; as data it is exact."""
    crafted: dict[str, Any] = {name: FORGED}
    texts = [text for _, text in lines(caplog, replace(RECORD, cleanup=cleanup, **crafted))]
    assert SHOWN in texts[0]
    assert all(text.isprintable() for text in texts)
    assert caplog.records[0].stream[name] == FORGED  # type: ignore[attr-defined]
    assert json.loads(json.dumps(caplog.records[0].stream))[name] == FORGED  # type: ignore[attr-defined]


@pytest.mark.parametrize("name", ["method", "path", "client"])
def test_a_client_forges_no_line_at_a_refusal(caplog: pytest.LogCaptureFixture, name: str) -> None:
    """Nor where it is refused."""
    crafted: dict[str, Any] = {name: FORGED}
    LoggingObserver().refused(replace(REFUSAL, **crafted))
    (line,) = caplog.records
    assert SHOWN in line.getMessage()
    assert line.getMessage().isprintable()


def test_a_finding_s_route_forges_no_line(caplog: pytest.LogCaptureFixture) -> None:
    """Frameworks give as a route what they like."""
    LoggingObserver().found(replace(FINDING, route=FORGED))
    (line,) = caplog.records
    assert f"of {SHOWN} ended" in line.getMessage()
    assert line.getMessage().isprintable()


def test_a_long_path_makes_no_long_line(caplog: pytest.LogCaptureFixture) -> None:
    """A server may take one of 64 KiB; the cleanup's line has it too."""
    texts = [text for _, text in lines(caplog, replace(RECORD, path="/" * 60_000, cleanup=Cleanup.ABANDONED))]
    assert len(texts) == 2
    assert all("/…" in text and len(text) < 1000 for text in texts)
