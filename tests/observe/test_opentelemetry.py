"""Streams as OpenTelemetry metrics and spans: what is exported equals what happened."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import HistogramDataPoint, InMemoryMetricReader, Metric
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode
from starlette.middleware.opentelemetry import OpenTelemetryMiddleware

from tests.observe.records import (
    APP,
    EVENTS,
    HEARTBEATS,
    ROUTE,
    STREAMS,
    Opened,
    attached,
    finding,
    play,
    record,
    refusal,
    run_real_streams,
)
from unbroken import CloseReason
from unbroken.observe import Cleanup, Hop, tell
from unbroken.observe.metering import DURATION_BUCKETS
from unbroken.observe.opentelemetry import OpenTelemetryObserver
from unbroken.testing import open_stream

ROOT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class Telemetry:
    """An SDK that keeps in memory what it is given."""

    meters: MeterProvider
    tracers: TracerProvider
    reader: InMemoryMetricReader
    exporter: InMemorySpanExporter

    def observer(self) -> OpenTelemetryObserver:
        """Make an observer that reports here."""
        return OpenTelemetryObserver(self.meters, self.tracers)

    def metrics(self) -> dict[str, Metric]:
        """Return the metrics by name."""
        data = self.reader.get_metrics_data()
        scopes = [scope for resource in data.resource_metrics for scope in resource.scope_metrics] if data else []
        assert {scope.scope.name for scope in scopes} <= {"unbroken"}
        return {metric.name: metric for scope in scopes for metric in scope.metrics}

    def counted(self) -> dict[str, float]:
        """Return each sum and gauge that is not 0, and the count and sum of each histogram, by name and attributes."""
        found: dict[str, float] = {}
        for name, metric in self.metrics().items():
            for point in metric.data.data_points:
                series = " ".join((name, *(str(value) for _, value in sorted((point.attributes or {}).items()))))
                if isinstance(point, HistogramDataPoint):
                    found |= {f"{series} count": point.count, f"{series} sum": point.sum}
                elif point.value:  # type: ignore[union-attr]
                    found[series] = point.value  # type: ignore[union-attr]
        return found

    def spans(self) -> list[ReadableSpan]:
        """Return the spans that have ended."""
        return list(self.exporter.get_finished_spans())


@pytest.fixture
def telemetry() -> Iterator[Telemetry]:
    """Give an SDK, and shut it down."""
    reader, exporter = InMemoryMetricReader(), InMemorySpanExporter()
    made = Telemetry(MeterProvider([reader]), TracerProvider(), reader, exporter)
    made.tracers.add_span_processor(SimpleSpanProcessor(exporter))
    yield made
    made.meters.shutdown()
    made.tracers.shutdown()


@pytest.fixture
def observer(telemetry: Telemetry) -> OpenTelemetryObserver:
    """Return an observer that reports to it."""
    return telemetry.observer()


def test_the_metrics_are_exactly_what_happened(telemetry: Telemetry, observer: OpenTelemetryObserver) -> None:
    """Every point of a scripted run is known, and there are no others; without a template there is no `http.route`."""
    play(observer)
    assert telemetry.counted() == {
        f"unbroken.open_streams {ROUTE}": 1,
        f"unbroken.streams.ended {ROUTE} completed": 1,
        f"unbroken.streams.ended ValueError {ROUTE} producer_error": 1,
        "unbroken.streams.ended client_closed": 1,
        f"unbroken.streams.refused {ROUTE} total": 1,
        f"unbroken.streams.refused {ROUTE} key": 1,
        "unbroken.streams.unclean cancelled": 1,
        f"unbroken.hop_timeout {ROUTE} silence": 60,
        f"unbroken.stream.duration {ROUTE} count": 2,
        f"unbroken.stream.duration {ROUTE} sum": 25,
        "unbroken.stream.duration count": 1,
        "unbroken.stream.duration sum": 12.5,
        f"unbroken.stream.first_byte {ROUTE} count": 1,
        f"unbroken.stream.first_byte {ROUTE} sum": 0.25,
        "unbroken.stream.first_byte count": 1,
        "unbroken.stream.first_byte sum": 0.25,
        f"unbroken.stream.longest_silence {ROUTE} count": 2,
        f"unbroken.stream.longest_silence {ROUTE} sum": 8,
        "unbroken.stream.longest_silence count": 1,
        "unbroken.stream.longest_silence sum": 4,
        f"unbroken.stream.events {ROUTE}": 14,
        "unbroken.stream.events": 7,
        f"unbroken.stream.discarded_events {ROUTE}": 4,
        "unbroken.stream.discarded_events": 2,
        f"unbroken.stream.heartbeats {ROUTE}": 6,
        "unbroken.stream.heartbeats": 3,
        f"unbroken.stream.sent {ROUTE}": 2000,
        "unbroken.stream.sent": 1000,
    }


def test_real_streams_are_counted_exactly(telemetry: Telemetry, observer: OpenTelemetryObserver) -> None:
    """Streams of a real application, by the template of their route: while they are open, and once they have ended."""
    while_open: list[dict[str, float]] = []
    received = run_real_streams(observer, lambda: while_open.append(telemetry.counted()))
    assert while_open[0][f"unbroken.open_streams {ROUTE}"] == STREAMS["endless"]
    seen = {name: value for name, value in telemetry.counted().items() if not name.endswith(" sum")}
    streams = sum(STREAMS.values())
    assert seen == {
        f"unbroken.streams.ended {ROUTE} completed": STREAMS["short"],
        f"unbroken.streams.ended ValueError {ROUTE} producer_error": STREAMS["broken"],
        f"unbroken.streams.ended {ROUTE} client_closed": STREAMS["endless"],
        f"unbroken.stream.duration {ROUTE} count": streams,
        f"unbroken.stream.first_byte {ROUTE} count": streams,
        f"unbroken.stream.longest_silence {ROUTE} count": streams,
        f"unbroken.stream.events {ROUTE}": sum(EVENTS[kind] * count for kind, count in STREAMS.items()),
        f"unbroken.stream.heartbeats {ROUTE}": HEARTBEATS * STREAMS["endless"],
        f"unbroken.stream.sent {ROUTE}": received,
    }
    assert sorted(str((span.attributes or {})["unbroken.close_reason"]) for span in telemetry.spans()) == sorted(
        ["completed"] * STREAMS["short"] + ["producer_error"] + ["client_closed"] * STREAMS["endless"]
    )


def test_units_and_buckets_go_with_the_metrics(telemetry: Telemetry, observer: OpenTelemetryObserver) -> None:
    """Units as OpenTelemetry writes them; buckets that fit streams without a view of the user's."""
    play(observer)
    metrics = telemetry.metrics()
    assert {name: metric.unit for name, metric in metrics.items()} == {
        "unbroken.open_streams": "{stream}",
        "unbroken.streams.ended": "{stream}",
        "unbroken.streams.refused": "{stream}",
        "unbroken.streams.unclean": "{stream}",
        "unbroken.hop_timeout": "s",
        "unbroken.stream.duration": "s",
        "unbroken.stream.first_byte": "s",
        "unbroken.stream.longest_silence": "s",
        "unbroken.stream.events": "{event}",
        "unbroken.stream.discarded_events": "{event}",
        "unbroken.stream.heartbeats": "{heartbeat}",
        "unbroken.stream.sent": "By",
    }
    assert all(metric.description for metric in metrics.values())
    duration = metrics["unbroken.stream.duration"].data.data_points[0]
    assert isinstance(duration, HistogramDataPoint)
    assert tuple(duration.explicit_bounds) == DURATION_BUCKETS


def test_a_span_is_as_long_as_its_stream(telemetry: Telemetry, observer: OpenTelemetryObserver) -> None:
    """It begins and ends with it, and carries the request and the record, but not the key."""
    observer.opened(Opened())
    assert telemetry.spans() == []
    observer.closed(record(reason=CloseReason.CLIENT_CLOSED))
    (span,) = telemetry.spans()
    assert (span.name, span.kind, span.status.status_code) == (f"stream {ROUTE}", SpanKind.INTERNAL, StatusCode.UNSET)
    assert span.start_time == 1_700_000_000 * 10**9
    assert span.end_time == span.start_time + 12_500_000_000
    assert dict(span.attributes or {}) == {
        "http.request.method": "GET",
        "http.route": ROUTE,
        "url.path": "/rooms/7/events",
        "client.address": "192.0.2.1",
        "client.port": 5000,
        "unbroken.stream.id": 1,
        "unbroken.stream.guarded": False,
        "unbroken.close_reason": "client_closed",
        "unbroken.cleanup": "finished",
        "unbroken.stream.first_byte": 0.25,
        "unbroken.stream.longest_silence": 4.0,
        "unbroken.stream.last_silence": 1.5,
        "unbroken.stream.events": 7,
        "unbroken.stream.discarded_events": 2,
        "unbroken.stream.heartbeats": 3,
        "unbroken.stream.sent_bytes": 1000,
    }


def test_what_is_not_known_is_not_said(telemetry: Telemetry, observer: OpenTelemetryObserver) -> None:
    """No template, no client, no first byte; a method that a client made up is `_OTHER`, as the conventions ask."""
    observer.opened(Opened(route=None, client=None, method="BREW"))
    observer.closed(record(route=None, first_byte=None))
    (span,) = telemetry.spans()
    assert span.name == "stream"
    attributes = dict(span.attributes or {})
    assert not {"http.route", "client.address", "client.port", "unbroken.stream.first_byte"} & attributes.keys()
    assert (attributes["http.request.method"], attributes["http.request.method_original"]) == ("_OTHER", "BREW")


def test_a_client_with_an_ipv6_address_keeps_it(telemetry: Telemetry, observer: OpenTelemetryObserver) -> None:
    """The port is what follows the last colon."""
    observer.opened(Opened(client="2001:db8::1:5000"))
    observer.closed(record())
    attributes = telemetry.spans()[0].attributes or {}
    assert (attributes["client.address"], attributes["client.port"]) == ("2001:db8::1", 5000)


@pytest.mark.parametrize(
    ("reason", "cleanup"),
    [(CloseReason.PRODUCER_ERROR, Cleanup.FINISHED), (CloseReason.CLIENT_CLOSED, Cleanup.FAILED)],
)
def test_the_application_s_fault_is_an_error(
    telemetry: Telemetry, observer: OpenTelemetryObserver, reason: CloseReason, cleanup: Cleanup
) -> None:
    """Of the producer or of its cleanup: status, `error.type` and the exception itself."""
    observer.opened(Opened())
    observer.closed(record(reason=reason, cleanup=cleanup, error=ValueError("no")))
    (span,) = telemetry.spans()
    assert (span.status.status_code, span.status.description) == (StatusCode.ERROR, "ValueError")
    assert (span.attributes or {})["error.type"] == "ValueError"
    (event,) = span.events
    assert (event.attributes or {})["exception.message"] == "no"


def test_a_client_s_leaving_is_no_error(telemetry: Telemetry, observer: OpenTelemetryObserver) -> None:
    """Nor is what the write to it raised."""
    observer.opened(Opened())
    observer.closed(record(reason=CloseReason.WRITE_FAILED, error=BrokenPipeError()))
    (span,) = telemetry.spans()
    assert span.status.status_code is StatusCode.UNSET
    assert "error.type" not in (span.attributes or {})
    assert telemetry.counted()[f"unbroken.streams.ended {ROUTE} write_failed"] == 1


def test_the_request_s_span_is_the_parent(telemetry: Telemetry, observer: OpenTelemetryObserver) -> None:
    """The trace that the framework began of a request goes on in the stream's span."""
    app = OpenTelemetryMiddleware(APP, tracer_provider=telemetry.tracers)

    async def main() -> None:
        async with open_stream(app, "/rooms/short/events") as stream:
            await stream.until_end()

    with attached(observer):
        asyncio.run(main())
    spans = {span.name: span for span in telemetry.spans()}
    assert spans[f"stream {ROUTE}"].parent == spans[f"GET {ROUTE}"].get_span_context()


def test_a_stream_from_before_is_counted_at_its_end_only(telemetry: Telemetry, observer: OpenTelemetryObserver) -> None:
    """Of an observer that was attached late, the open streams never fall below 0, and no span lacks its beginning."""
    observer.closed(record(5))
    assert telemetry.spans() == []
    observer.opened(Opened(id=6))
    counted = telemetry.counted()
    assert (counted[f"unbroken.open_streams {ROUTE}"], counted[f"unbroken.streams.ended {ROUTE} completed"]) == (1, 1)


def test_a_stream_that_ended_while_it_was_detached_is_forgotten(
    telemetry: Telemetry, observer: OpenTelemetryObserver
) -> None:
    """Attached and detached for ever, it keeps no spans of streams that are gone: they end, and are counted out."""
    for number in range(1000):
        observer.opened(Opened(id=-number))
    still_open = telemetry.counted()[f"unbroken.open_streams {ROUTE}"]
    assert still_open <= 64
    assert len(telemetry.spans()) == 1000 - still_open


def test_what_was_found_and_refused_without_a_route(telemetry: Telemetry, observer: OpenTelemetryObserver) -> None:
    """It is said without one."""
    observer.found(finding(300.0, route=None, counts=Hop.AGE))
    observer.refused(refusal(route=None))
    assert telemetry.counted() == {"unbroken.hop_timeout age": 300, "unbroken.streams.refused total": 1}


def test_several_observers_count_the_same(telemetry: Telemetry, observer: OpenTelemetryObserver) -> None:
    """Two, each with an SDK of its own."""
    reader = InMemoryMetricReader()
    other = Telemetry(MeterProvider([reader]), telemetry.tracers, reader, telemetry.exporter)
    with attached(observer, other.observer()):
        tell("opened", Opened())
        tell("closed", record())
    assert telemetry.counted() == other.counted()
    assert len(telemetry.spans()) == 2
    other.meters.shutdown()


def run(code: str) -> str:
    """Run Python code in a process of its own and return what it wrote."""
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False, cwd=ROOT
    )
    return done.stdout + done.stderr


def test_providers_may_be_set_after_it_was_made() -> None:
    """The default is the global provider, whichever it is when a stream opens."""
    code = (
        "from opentelemetry import metrics\n"
        "from opentelemetry.sdk.metrics import MeterProvider\n"
        "from opentelemetry.sdk.metrics.export import InMemoryMetricReader\n"
        "from tests.observe.records import play\n"
        "from unbroken.observe.opentelemetry import OpenTelemetryObserver\n"
        "observer = OpenTelemetryObserver()\n"
        "metrics.set_meter_provider(MeterProvider([reader := InMemoryMetricReader()]))\n"
        "play(observer)\n"
        "print(reader.get_metrics_data().to_json())"
    )
    assert '"unbroken.open_streams"' in run(code)


def test_without_the_library_the_extra_is_named() -> None:
    """The import fails with an `ImportError` that says what to install; the rest of `observe` is there without it."""
    absent = "import sys; sys.modules['opentelemetry'] = None; import unbroken.observe; print('there'); "
    said = run(absent + "import unbroken.observe.opentelemetry")
    assert said.startswith("there\n")
    assert "MissingExtraError: opentelemetry-api is not installed" in said
    assert "pip install 'unbroken[opentelemetry]'" in said
