"""The streams of this process as OpenTelemetry metrics and spans."""

from __future__ import annotations

from typing import Final, NamedTuple

from unbroken.errors import CloseReason, MissingExtraError
from unbroken.observe.metering import DURATION_BUCKETS, FIRST_BYTE_BUCKETS, SILENCE_BUCKETS, Held, error_type
from unbroken.observe.observer import Finding, Observer, OpenStream, Refusal
from unbroken.observe.record import Cleanup, StreamRecord

try:
    from opentelemetry.metrics import Meter, MeterProvider, get_meter
    from opentelemetry.trace import Span, StatusCode, TracerProvider, get_tracer
except ImportError as exc:
    raise MissingExtraError("opentelemetry-api", "opentelemetry") from exc

__all__ = ["OpenTelemetryObserver"]

Attributes = dict[str, str | int | float | bool]

# Semantic conventions, HTTP: a method that is none of these is _OTHER, since a client can make up any number of them.
METHODS: Final = frozenset(
    {"GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH", "QUERY"}
)  # fmt: skip


class OpenTelemetryObserver(Observer):
    """Counts streams in OpenTelemetry metrics, and makes a span of each.

        attach(OpenTelemetryObserver())

    A span begins and ends with its stream, is a child of the request's span
    where there is one, and carries what the record says; `key` is left out, as
    it may name a person. Its status is an error when the producer or its cleanup
    raised, which also records the exception.

    Make one and keep it for the life of the process. Streams that were open
    when it was attached are counted at their end only, and have no span. Events,
    heartbeats and bytes are added when their stream ends, not while it goes on.

    Args:
        meter_provider: Where the metrics go; the global provider by default, also
            if it is set later.
        tracer_provider: Where the spans go; the global provider by default, also
            if it is set later.
    """

    def __init__(
        self, meter_provider: MeterProvider | None = None, tracer_provider: TracerProvider | None = None
    ) -> None:
        self._metrics = _Metrics(get_meter("unbroken", meter_provider=meter_provider))
        self._tracer = get_tracer("unbroken", tracer_provider=tracer_provider)
        self._held: Held[_Open] = Held(self._let_go)

    def opened(self, stream: OpenStream) -> None:
        """Count an open stream and begin its span. Called in the request's context, that span is its parent."""
        span = self._tracer.start_span(
            f"stream {stream.route}" if stream.route else "stream",
            attributes=_request_attributes(stream),
            start_time=_nanoseconds(stream.opened_at),
        )
        self._held.hold(stream.id, _Open(span, stream.route))
        self._metrics.open.add(1, _route(stream.route))

    def closed(self, record: StreamRecord) -> None:
        """Count the end of a stream and what its record says, and end its span."""
        held = self._held.release(record.id)
        if held is not None:
            self._metrics.open.add(-1, _route(held.route))
            _end_span(held.span, record)
        self._metrics.measure(record)

    def refused(self, refusal: Refusal) -> None:
        """Count a refusal."""
        self._metrics.refused.add(1, _route(refusal.route) | {"unbroken.limit": refusal.limit})

    def found(self, finding: Finding) -> None:
        """Show the time after which a hop cuts streams."""
        attributes = _route(finding.route) | {"unbroken.hop.counts": str(finding.counts)}
        self._metrics.hop_timeout.set(finding.seconds, attributes)

    def _let_go(self, held: _Open) -> None:
        self._metrics.open.add(-1, _route(held.route))
        held.span.end()


class _Open(NamedTuple):
    span: Span
    route: str | None


class _Metrics:
    """The instruments. A Prometheus exporter turns their names into those of `PrometheusObserver`."""

    def __init__(self, meter: Meter) -> None:
        self.open = meter.create_up_down_counter("unbroken.open_streams", "{stream}", "Streams that are open.")
        self.refused = meter.create_counter("unbroken.streams.refused", "{stream}", "Streams not opened for a limit.")
        self.hop_timeout = meter.create_gauge(
            "unbroken.hop_timeout", "s", "Time after which a hop on the way cuts streams, as last found."
        )
        self._ended = meter.create_counter(
            "unbroken.streams.ended", "{stream}", "Streams that have ended, by close reason."
        )
        self._unclean = meter.create_counter(
            "unbroken.streams.unclean", "{stream}", "Ended streams whose producer's cleanup did not finish."
        )
        self._make_histograms(meter)
        self._make_sums(meter)

    def _make_histograms(self, meter: Meter) -> None:
        self._duration = meter.create_histogram(
            "unbroken.stream.duration",
            "s",
            "Time from a stream's first moment to its end.",
            explicit_bucket_boundaries_advisory=DURATION_BUCKETS,
        )
        self._first_byte = meter.create_histogram(
            "unbroken.stream.first_byte",
            "s",
            "Time until a stream's headers left.",
            explicit_bucket_boundaries_advisory=FIRST_BYTE_BUCKETS,
        )
        self._longest_silence = meter.create_histogram(
            "unbroken.stream.longest_silence",
            "s",
            "The longest time without a byte in a stream.",
            explicit_bucket_boundaries_advisory=SILENCE_BUCKETS,
        )

    def _make_sums(self, meter: Meter) -> None:
        self._events = meter.create_counter("unbroken.stream.events", "{event}", "Events of streams that have ended.")
        self._discarded = meter.create_counter(
            "unbroken.stream.discarded_events",
            "{event}",
            "Events that producers yielded after their client had gone.",
        )
        self._heartbeats = meter.create_counter(
            "unbroken.stream.heartbeats", "{heartbeat}", "Heartbeats of streams that have ended."
        )
        self._sent = meter.create_counter("unbroken.stream.sent", "By", "Bytes of the body of streams that have ended.")

    def measure(self, record: StreamRecord) -> None:
        """Add what is known of a stream that has ended."""
        route = _route(record.route)
        self._ended.add(1, route | {"unbroken.close_reason": str(record.reason)} | _error(record))
        if record.cleanup is not Cleanup.FINISHED:
            self._unclean.add(1, route | {"unbroken.cleanup": str(record.cleanup)})
        self._duration.record(record.duration, route)
        if record.first_byte is not None:
            self._first_byte.record(record.first_byte, route)
        self._longest_silence.record(record.longest_silence, route)
        self._events.add(record.events, route)
        self._discarded.add(record.discarded, route)
        self._heartbeats.add(record.heartbeats, route)
        self._sent.add(record.sent_bytes, route)


def _end_span(span: Span, record: StreamRecord) -> None:
    if span.is_recording():
        span.set_attributes(_end_attributes(record) | _error(record))
        if record.error is not None and _is_fault(record):
            span.record_exception(record.error)
            span.set_status(StatusCode.ERROR, error_type(record.error))
    # The record's clock does not jump, so the span is as long as the record says.
    span.end(_nanoseconds(record.opened_at + record.duration))


def _is_fault(record: StreamRecord) -> bool:
    """Whether the application is to blame: what a write raises for a client that left is no error."""
    return record.reason is CloseReason.PRODUCER_ERROR or record.cleanup is Cleanup.FAILED


def _error(record: StreamRecord) -> Attributes:
    return {"error.type": error_type(record.error)} if record.error is not None and _is_fault(record) else {}


def _route(route: str | None) -> Attributes:
    return {"http.route": route} if route else {}


def _request_attributes(stream: OpenStream) -> Attributes:
    return {
        **_method_attributes(stream.method),
        **_route(stream.route),
        **_client_attributes(stream.client),
        "url.path": stream.path,
        "unbroken.stream.id": stream.id,
        "unbroken.stream.guarded": stream.guarded,
    }


def _method_attributes(method: str) -> Attributes:
    if method in METHODS:
        return {"http.request.method": method}
    return {"http.request.method": "_OTHER", "http.request.method_original": method}


def _client_attributes(client: str | None) -> Attributes:
    address, _, port = (client or "").rpartition(":")
    return {"client.address": address, "client.port": int(port)} if address and port.isdecimal() else {}


def _end_attributes(record: StreamRecord) -> Attributes:
    first_byte: Attributes = {} if record.first_byte is None else {"unbroken.stream.first_byte": record.first_byte}
    return first_byte | {
        "unbroken.close_reason": str(record.reason),
        "unbroken.cleanup": str(record.cleanup),
        "unbroken.stream.longest_silence": record.longest_silence,
        "unbroken.stream.last_silence": record.last_silence,
        "unbroken.stream.events": record.events,
        "unbroken.stream.discarded_events": record.discarded,
        "unbroken.stream.heartbeats": record.heartbeats,
        "unbroken.stream.sent_bytes": record.sent_bytes,
    }


def _nanoseconds(seconds: float) -> int:
    return round(seconds * 1e9)
