"""The streams of this process as Prometheus metrics."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain
from typing import Any, Final, TypeVar

from unbroken.errors import CloseReason, ConfigurationError, MissingExtraError
from unbroken.observe.metering import DURATION_BUCKETS, FIRST_BYTE_BUCKETS, SILENCE_BUCKETS, Held
from unbroken.observe.observer import Finding, Observer, OpenStream, Refusal
from unbroken.observe.record import Cleanup, StreamRecord

try:
    from prometheus_client import REGISTRY, CollectorRegistry, Counter, Gauge, Histogram, Metric
    from prometheus_client.metrics import MetricWrapperBase
except ImportError as exc:
    raise MissingExtraError("prometheus-client", "prometheus") from exc

__all__ = ["PrometheusObserver"]

M = TypeVar("M", bound=MetricWrapperBase)

LIMITS: Final = ("total", "client", "key")
UNCLEAN: Final = tuple(cleanup for cleanup in Cleanup if cleanup is not Cleanup.FINISHED)


class PrometheusObserver(Observer):
    """Counts streams in metrics of prometheus-client, whose names begin with `unbroken_`.

        attach(PrometheusObserver())

    Make one and keep it for the life of the process. Streams that were open
    when it was attached are counted at their end only. Events, heartbeats and
    bytes are added when their stream ends, not while it goes on.

    The label `route` is the path's template, and empty where the framework
    tells none; paths and clients are no labels, for anyone can make up more of them.
    Multiprocess mode of prometheus-client works: set it up as its manual says.

    It is a collector: `registry.unregister(observer)` takes its metrics out.

    Args:
        registry: Where the metrics are registered; prometheus-client's `REGISTRY` by default.

    Raises:
        ConfigurationError: The registry has such metrics already.
    """

    def __init__(self, registry: CollectorRegistry | None = None) -> None:
        self._metrics: list[MetricWrapperBase] = []
        self._routes: set[str] = set()
        self._make_stream_metrics()
        self._make_record_metrics()
        self._held: Held[str] = Held(lambda route: self._open.labels(route).dec())
        # All at once, as one collector: where one name is taken, none is registered.
        try:
            (REGISTRY if registry is None else registry).register(self)
        except ValueError as exc:
            raise ConfigurationError(
                "the registry has metrics named unbroken_... already, most likely another PrometheusObserver's. One "
                "counts all streams of the process: make it once, in a module, and attach that one. For a second, "
                "give a registry of its own: PrometheusObserver(registry=CollectorRegistry())"
            ) from exc

    def describe(self) -> Iterator[Metric]:
        """Return the metrics without samples; the registry asks. May be called from any thread."""
        return chain.from_iterable(metric.describe() for metric in self._metrics)

    def collect(self) -> Iterator[Metric]:
        """Return the metrics with their samples; the registry asks. May be called from any thread."""
        return chain.from_iterable(metric.collect() for metric in self._metrics)

    def opened(self, stream: OpenStream) -> None:
        """Count an open stream."""
        route = self._introduced(stream.route)
        self._held.hold(stream.id, route)
        self._open.labels(route).inc()

    def closed(self, record: StreamRecord) -> None:
        """Count the end of a stream, and what its record says."""
        route = self._introduced(record.route)
        if (held := self._held.release(record.id)) is not None:
            self._open.labels(held).dec()
        self._ended.labels(route, record.reason).inc()
        if record.cleanup is not Cleanup.FINISHED:
            self._unclean.labels(route, record.cleanup).inc()
        self._measure(route, record)

    def _measure(self, route: str, record: StreamRecord) -> None:
        self._duration.labels(route).observe(record.duration)
        if record.first_byte is not None:
            self._first_byte.labels(route).observe(record.first_byte)
        self._longest_silence.labels(route).observe(record.longest_silence)
        self._events.labels(route).inc(record.events)
        self._discarded.labels(route).inc(record.discarded)
        self._heartbeats.labels(route).inc(record.heartbeats)
        self._sent_bytes.labels(route).inc(record.sent_bytes)

    def refused(self, refusal: Refusal) -> None:
        """Count a refusal."""
        self._refused.labels(self._introduced(refusal.route), refusal.limit).inc()

    def found(self, finding: Finding) -> None:
        """Show the time after which a hop cuts streams."""
        self._hop_timeout.labels(finding.route or "", finding.counts).set(finding.seconds)

    def _introduced(self, route: str | None) -> str:
        """Return the label of a route, and have the series that alerts watch from its first stream on."""
        label = route or ""
        if label not in self._routes:
            self._routes.add(label)
            # increase() and rate() see no rise in a series whose first sample is 1.
            for metric, values in ((self._ended, CloseReason), (self._refused, LIMITS), (self._unclean, UNCLEAN)):
                for value in values:
                    metric.labels(label, value)
        return label

    def _make_stream_metrics(self) -> None:
        # livesum: a worker that has died has no open streams.
        self._open = self._make(Gauge, "open_streams", "Streams that are open.", multiprocess_mode="livesum")
        self._ended = self._make(Counter, "streams_ended", "Streams that have ended, by close reason.", "reason")
        self._refused = self._make(Counter, "streams_refused", "Streams not opened for a limit.", "limit")
        self._unclean = self._make(
            Counter, "streams_unclean", "Ended streams whose producer's cleanup did not finish.", "cleanup"
        )
        self._hop_timeout = self._make(
            Gauge, "hop_timeout_seconds", "Time after which a hop on the way cuts streams, as last found.", "counts",
            unit="seconds", multiprocess_mode="livemostrecent",
        )  # fmt: skip

    def _make_record_metrics(self) -> None:
        self._duration = self._make_histogram(
            "stream_duration_seconds", "Time from a stream's first moment to its end.", DURATION_BUCKETS
        )
        self._first_byte = self._make_histogram(
            "stream_first_byte_seconds", "Time until a stream's headers left.", FIRST_BYTE_BUCKETS
        )
        self._longest_silence = self._make_histogram(
            "stream_longest_silence_seconds", "The longest time without a byte in a stream.", SILENCE_BUCKETS
        )
        self._events = self._make(Counter, "stream_events", "Events of streams that have ended.")
        self._discarded = self._make(
            Counter, "stream_discarded_events", "Events that producers yielded after their client had gone."
        )
        self._heartbeats = self._make(Counter, "stream_heartbeats", "Heartbeats of streams that have ended.")
        self._sent_bytes = self._make(
            Counter, "stream_sent_bytes", "Bytes of the body of streams that have ended.", unit="bytes"
        )

    def _make_histogram(self, name: str, text: str, buckets: tuple[float, ...]) -> Histogram:
        return self._make(Histogram, name, text, unit="seconds", buckets=buckets)

    def _make(self, kind: type[M], name: str, text: str, *labels: str, **options: Any) -> M:
        metric = kind(f"unbroken_{name}", text, ("route", *labels), registry=None, **options)
        self._metrics.append(metric)
        return metric
