"""Clients that vanish without FIN or RST: their machine lost its network, or its power."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack

import pytest

from .cells import Cell, Network
from .expectations import expected
from .generators import GENERATORS
from .namespace import Namespace
from .reports import Report, play, tasks_left
from .servers import SERVERS

pytestmark = [pytest.mark.needs_network_namespace, pytest.mark.timeout(120)]

CELLS = tuple(Cell("vanish", kind) for kind in GENERATORS)


@pytest.fixture(scope="module")
def reports() -> Iterator[Mapping[str, Report]]:
    """Play all servers at once, each with a network of its own: the time is spent waiting for the kernel."""
    with ExitStack() as namespaces, ThreadPoolExecutor(len(SERVERS)) as threads:
        networks = [_network(namespaces) for _ in SERVERS]
        played = threads.map(lambda name, network: play(name, [CELLS], network), SERVERS, networks)
        yield dict(zip(SERVERS, played, strict=True))


def _network(namespaces: ExitStack) -> Network:
    namespace = Namespace()
    try:
        namespace.create()
    except PermissionError as exc:
        if os.environ.get("CI") == "true":
            raise
        pytest.skip(str(exc))
    namespaces.callback(namespace.remove)
    return Network(host=namespace.host, make_socket=namespace.make_socket, vanish=namespace.vanish)


@pytest.mark.parametrize("kind", GENERATORS)
@pytest.mark.parametrize("server", SERVERS)
def test_a_vanished_client_is_given_up(reports: Mapping[str, Report], server: str, kind: str) -> None:
    """Within `dead_peer_timeout` the kernel gives it up, whether or not anything was being sent to it."""
    outcome = reports[server].outcomes[Cell("vanish", kind)]
    differences = expected(server, "vanish", kind).differences(outcome.observed)
    assert not differences, "; ".join(differences)
    assert outcome.healthy == [True, True]


@pytest.mark.parametrize("server", SERVERS)
def test_nothing_is_left_of_the_vanished(reports: Mapping[str, Report], server: str) -> None:
    """The process holds the tasks and descriptors it held before, and no generator."""
    report = reports[server]
    assert report.after["tasks"] == tasks_left(report.before, report.differences)
    assert report.after["descriptors"] == report.before["descriptors"]
    assert (report.after["generators"], report.after["busy_threads"]) == (0, [])
    assert report.noted_after_collection == report.noted_before_collection


@pytest.mark.parametrize("server", SERVERS)
def test_a_vanished_client_is_no_news(reports: Mapping[str, Report], server: str) -> None:
    """Nothing above INFO is logged outside the streams' own calls."""
    report = reports[server]
    stray = [line["logger"] for line in report.log if line["probe"] is None]
    assert stray == [logger for difference in report.differences for logger in difference.stray_log]
