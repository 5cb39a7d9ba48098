"""Streams as Prometheus metrics: what is exposed equals what happened."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry, Gauge, Metric, generate_latest
from prometheus_client.multiprocess import MultiProcessCollector, mark_process_dead
from prometheus_client.openmetrics.exposition import generate_latest as generate_openmetrics
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families

from tests.observe.records import (
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
from unbroken.errors import ConfigurationError
from unbroken.observe import Cleanup, Hop, OpenStream, StreamRecord, tell
from unbroken.observe.prometheus import PrometheusObserver

ROOT = Path(__file__).resolve().parents[2]

Samples = dict[str, float]


def samples(registry: CollectorRegistry) -> Samples:
    """Return what a Prometheus server reads: each sample by its name and the values of its labels."""
    families = text_string_to_metric_families(generate_latest(registry).decode())
    return {
        " ".join((sample.name, *(value for _, value in sorted(sample.labels.items(), reverse=True)))): sample.value
        for family in families
        for sample in family.samples
        if not sample.name.endswith("_created")
    }


def counted(registry: CollectorRegistry) -> Samples:
    """Return the samples that say something: no buckets, and none that are 0."""
    return {name: value for name, value in samples(registry).items() if value and "_bucket " not in name}


def openmetrics(registry: CollectorRegistry) -> list[Metric]:
    """Return what the strict parser of OpenMetrics reads."""
    text = generate_openmetrics(registry).decode()  # type: ignore[no-untyped-call]
    return list(parse_openmetrics(text))  # type: ignore[no-untyped-call]


@pytest.fixture
def registry() -> CollectorRegistry:
    """Return a registry of this test's own."""
    return CollectorRegistry()


@pytest.fixture
def observer(registry: CollectorRegistry) -> PrometheusObserver:
    """Return an observer on it."""
    return PrometheusObserver(registry)


PLAYED = {
    f"unbroken_open_streams {ROUTE}": 1,
    f"unbroken_streams_ended_total {ROUTE} completed": 1,
    f"unbroken_streams_ended_total {ROUTE} producer_error": 1,
    "unbroken_streams_ended_total  client_closed": 1,
    f"unbroken_streams_refused_total {ROUTE} total": 1,
    f"unbroken_streams_refused_total {ROUTE} key": 1,
    "unbroken_streams_unclean_total  cancelled": 1,
    f"unbroken_hop_timeout_seconds {ROUTE} silence": 60,
    f"unbroken_stream_duration_seconds_count {ROUTE}": 2,
    f"unbroken_stream_duration_seconds_sum {ROUTE}": 25,
    "unbroken_stream_duration_seconds_count ": 1,
    "unbroken_stream_duration_seconds_sum ": 12.5,
    f"unbroken_stream_first_byte_seconds_count {ROUTE}": 1,
    f"unbroken_stream_first_byte_seconds_sum {ROUTE}": 0.25,
    "unbroken_stream_first_byte_seconds_count ": 1,
    "unbroken_stream_first_byte_seconds_sum ": 0.25,
    f"unbroken_stream_longest_silence_seconds_count {ROUTE}": 2,
    f"unbroken_stream_longest_silence_seconds_sum {ROUTE}": 8,
    "unbroken_stream_longest_silence_seconds_count ": 1,
    "unbroken_stream_longest_silence_seconds_sum ": 4,
    f"unbroken_stream_events_total {ROUTE}": 14,
    "unbroken_stream_events_total ": 7,
    f"unbroken_stream_discarded_events_total {ROUTE}": 4,
    "unbroken_stream_discarded_events_total ": 2,
    f"unbroken_stream_heartbeats_total {ROUTE}": 6,
    "unbroken_stream_heartbeats_total ": 3,
    f"unbroken_stream_sent_bytes_total {ROUTE}": 2000,
    "unbroken_stream_sent_bytes_total ": 1000,
}


def test_the_metrics_are_exactly_what_happened(registry: CollectorRegistry, observer: PrometheusObserver) -> None:
    """Every sample of a scripted run is known, and there are no others."""
    play(observer)
    assert counted(registry) == PLAYED


def test_real_streams_are_counted_exactly(registry: CollectorRegistry, observer: PrometheusObserver) -> None:
    """Streams of a real application, by the template of their route: while they are open, and once they have ended."""
    while_open: list[Samples] = []
    received = run_real_streams(observer, lambda: while_open.append(counted(registry)))
    assert while_open[0][f"unbroken_open_streams {ROUTE}"] == STREAMS["endless"]
    seen = {name: value for name, value in counted(registry).items() if "_seconds_sum" not in name}
    streams = sum(STREAMS.values())
    assert seen == {
        f"unbroken_streams_ended_total {ROUTE} completed": STREAMS["short"],
        f"unbroken_streams_ended_total {ROUTE} producer_error": STREAMS["broken"],
        f"unbroken_streams_ended_total {ROUTE} client_closed": STREAMS["endless"],
        f"unbroken_stream_duration_seconds_count {ROUTE}": streams,
        f"unbroken_stream_first_byte_seconds_count {ROUTE}": streams,
        f"unbroken_stream_longest_silence_seconds_count {ROUTE}": streams,
        f"unbroken_stream_events_total {ROUTE}": sum(EVENTS[kind] * count for kind, count in STREAMS.items()),
        f"unbroken_stream_heartbeats_total {ROUTE}": HEARTBEATS * STREAMS["endless"],
        f"unbroken_stream_sent_bytes_total {ROUTE}": received,
    }
    assert samples(registry)[f"unbroken_stream_duration_seconds_bucket {ROUTE} 30.0"] == streams - STREAMS["endless"]


def test_a_time_is_in_its_bucket(registry: CollectorRegistry, observer: PrometheusObserver) -> None:
    """12.5 s are more than 10 and less than 30; a quarter of a second is at most that."""
    observer.closed(record())
    seen = samples(registry)
    durations = [seen[f"unbroken_stream_duration_seconds_bucket {ROUTE} {bound}"] for bound in ("10.0", "30.0", "+Inf")]
    assert durations == [0, 1, 1]
    first_bytes = [seen[f"unbroken_stream_first_byte_seconds_bucket {ROUTE} {bound}"] for bound in ("0.1", "0.25")]
    assert first_bytes == [0, 1]


def test_a_route_has_its_series_from_the_first_stream_on(
    registry: CollectorRegistry, observer: PrometheusObserver
) -> None:
    """With the value 0, or an alert on `increase()` would miss the first error."""
    observer.opened(Opened())
    seen = samples(registry)
    assert [seen[f"unbroken_streams_ended_total {ROUTE} {reason}"] for reason in CloseReason] == [0] * len(CloseReason)
    assert [seen[f"unbroken_streams_refused_total {ROUTE} {limit}"] for limit in ("total", "client", "key")] == [0] * 3
    unclean = [cleanup for cleanup in Cleanup if cleanup is not Cleanup.FINISHED]
    assert [seen[f"unbroken_streams_unclean_total {ROUTE} {cleanup}"] for cleanup in unclean] == [0] * len(unclean)


def test_no_label_has_what_clients_make_up(registry: CollectorRegistry, observer: PrometheusObserver) -> None:
    """A thousand paths and clients without a template have the series of one."""
    observer.opened(Opened(route=None))
    observer.closed(record(route=None))
    before = len(samples(registry))
    for number in range(1000):
        observer.opened(
            Opened(id=number, path=f"/{number}", client=f"192.0.2.1:{number}", method=f"M{number}", route=None)
        )
        observer.closed(record(number, route=None))
    observer.refused(refusal(route=None))
    assert len(samples(registry)) == before


def test_a_stream_from_before_is_counted_at_its_end_only(
    registry: CollectorRegistry, observer: PrometheusObserver
) -> None:
    """Of an observer that was attached late, the open streams never fall below 0."""
    observer.closed(record(5))
    observer.opened(Opened(id=6))
    assert counted(registry)[f"unbroken_open_streams {ROUTE}"] == 1


def test_a_stream_that_ended_while_it_was_detached_is_forgotten(
    registry: CollectorRegistry, observer: PrometheusObserver
) -> None:
    """Attached and detached for ever, it keeps no ids of streams that are gone, and counts them out."""
    for number in range(1000):
        observer.opened(Opened(id=-number))
    assert counted(registry)[f"unbroken_open_streams {ROUTE}"] <= 64


def test_what_was_found_on_several_routes_has_an_empty_one(
    registry: CollectorRegistry, observer: PrometheusObserver
) -> None:
    """The two ways in which hops count are series of their own."""
    observer.found(finding(60.0, route=None))
    observer.found(finding(300.0, route=None, counts=Hop.AGE))
    assert counted(registry) == {"unbroken_hop_timeout_seconds  silence": 60, "unbroken_hop_timeout_seconds  age": 300}


def test_openmetrics_has_the_units(registry: CollectorRegistry, observer: PrometheusObserver) -> None:
    """Its strict parser takes the text, and knows seconds and bytes."""
    play(observer)
    families = {family.name: family for family in openmetrics(registry)}
    units = {name: family.unit for name, family in families.items() if family.unit}
    assert units == {
        "unbroken_hop_timeout_seconds": "seconds",
        "unbroken_stream_duration_seconds": "seconds",
        "unbroken_stream_first_byte_seconds": "seconds",
        "unbroken_stream_longest_silence_seconds": "seconds",
        "unbroken_stream_sent_bytes": "bytes",
    }
    assert all(family.documentation for family in families.values())


def test_two_on_one_registry_are_refused(registry: CollectorRegistry, observer: PrometheusObserver) -> None:
    """The error says what to do, and the first goes on as before."""
    play(observer)
    with pytest.raises(ConfigurationError, match=r"make it once.*PrometheusObserver\(registry=CollectorRegistry\(\)\)"):
        PrometheusObserver(registry)
    assert counted(registry) == PLAYED


def test_where_one_name_is_taken_nothing_is_registered(registry: CollectorRegistry) -> None:
    """A registry is not left with half of the metrics."""
    Gauge("unbroken_stream_events_total", "Somebody else's.", registry=registry)
    with pytest.raises(ConfigurationError):
        PrometheusObserver(registry)
    assert samples(registry) == {"unbroken_stream_events_total": 0}


def test_it_can_be_taken_out_of_its_registry(registry: CollectorRegistry, observer: PrometheusObserver) -> None:
    """Then another may take its place."""
    registry.unregister(observer)
    play(PrometheusObserver(registry))
    assert counted(registry) == PLAYED


class Failing(PrometheusObserver):
    def opened(self, stream: OpenStream) -> None:
        raise RuntimeError("no")

    def closed(self, record: StreamRecord) -> None:
        raise RuntimeError("no")


def test_several_observers_count_the_same(registry: CollectorRegistry, observer: PrometheusObserver) -> None:
    """Also beside one that fails."""
    other = CollectorRegistry()
    with attached(Failing(CollectorRegistry()), observer, PrometheusObserver(other)):
        tell("opened", Opened())
        tell("closed", record())
    assert counted(registry) == counted(other)
    assert counted(other)[f"unbroken_streams_ended_total {ROUTE} completed"] == 1


def run(code: str) -> str:
    """Run Python code in a process of its own and return what it wrote."""
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False, cwd=ROOT
    )
    return done.stdout + done.stderr


def test_the_default_is_the_library_s_own_registry() -> None:
    """What `generate_latest()` and `make_asgi_app()` expose."""
    code = (
        "from prometheus_client import generate_latest\n"
        "from tests.observe.records import play\n"
        "from unbroken.observe.prometheus import PrometheusObserver\n"
        "play(PrometheusObserver())\n"
        "print(generate_latest().decode())"
    )
    assert f'unbroken_open_streams{{route="{ROUTE}"}} 1.0' in run(code)


def test_without_the_library_the_extra_is_named() -> None:
    """The import fails with an `ImportError` that says what to install; the rest of `observe` is there without it."""
    absent = "import sys; sys.modules['prometheus_client'] = None; import unbroken.observe; print('there'); "
    said = run(absent + "import unbroken.observe.prometheus")
    assert said.startswith("there\n")
    assert "MissingExtraError: prometheus-client is not installed" in said
    assert "pip install 'unbroken[prometheus]'" in said


WORKER = (
    "from tests.observe.records import play\n"
    "from unbroken.observe.prometheus import PrometheusObserver\n"
    "play(PrometheusObserver())\n"
    "print('played', flush=True)\n"
    "input()"
)


@contextmanager
def worker(directory: Path) -> Iterator[int]:
    """Run a process that has played, give its id, and end it."""
    environment = {**os.environ, "PROMETHEUS_MULTIPROC_DIR": str(directory)}
    command = [sys.executable, "-c", WORKER]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, text=True, cwd=ROOT, env=environment, stdin=pipe, stdout=pipe) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "played\n"
        yield process.pid
        process.communicate("\n", timeout=60)


def test_the_workers_of_a_server_are_added_up(tmp_path: Path, registry: CollectorRegistry) -> None:
    """In multiprocess mode: counters and histograms of two processes, and the open streams of those that live."""
    MultiProcessCollector(registry, path=str(tmp_path))  # type: ignore[no-untyped-call]
    alone = {f"unbroken_hop_timeout_seconds {ROUTE} silence"}  # one finding is shown, not their sum
    with worker(tmp_path), worker(tmp_path) as second:
        twice = {name: value if name in alone else 2 * value for name, value in PLAYED.items()}
        assert counted(registry) == twice
    mark_process_dead(second, str(tmp_path))  # type: ignore[no-untyped-call]
    assert counted(registry) == {**twice, f"unbroken_open_streams {ROUTE}": 1}
