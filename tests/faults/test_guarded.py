"""The matrix with streams of other libraries: `EventStreamGuard` around them, and nothing in them changed."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest

from .cells import Cell
from .guarded_expectations import (
    CELLS,
    LIBRARIES,
    alternatives,
    differences_from,
    guarded_differences_of,
    guarded_options,
    is_served_by,
)
from .mcp_client import ask_as_the_library_wants
from .reports import Report, Table, play, tasks_left
from .servers import SERVERS
from .test_matrix import IDLE_WORKERS, NOISE

pytestmark = pytest.mark.timeout(120)

ALL_OF_IT = ("uvicorn-httptools-asyncio", "granian")
"""Servers on which the whole matrix is played each time: one that writes on the application's loop, one beside it."""

EVERYWHERE = ("rst", "freeze", "pipelined")
EVERYWHERE_FROM = ("ticking", "queue", "sync")
"""What is played on every server each time, with every library; the rest of the matrix is left to the long runs."""


def _is_played_each_time(server: str, cell: Cell) -> bool:
    return server in ALL_OF_IT or (cell.behaviour in EVERYWHERE and cell.kind in EVERYWHERE_FROM)


PLACES = [
    pytest.param(server, cell, id=f"{server}-{cell.probe}", marks=() if each_time else pytest.mark.soak)
    for server in SERVERS
    for cell in CELLS
    if is_served_by(server, cell)
    for each_time in (_is_played_each_time(server, cell),)
]
ReportOf = Callable[[str], Report]


def table_for(server: str) -> Table:
    """Return what is played on a server."""
    warm_up = [Cell("fin", kind, library) for library in LIBRARIES for kind in ("queue", "sync")]
    return Table(
        application=f"{__package__}.guarded_app:app",
        warm_up=[cell for cell in warm_up if cell in CELLS and is_served_by(server, cell)],
        ask=ask_as_the_library_wants,
        options=guarded_options,
        differences_from=differences_from,
        differences_of=guarded_differences_of,
        leaves_generators=True,
    )


@pytest.fixture(scope="session")
def guarded_report_of(request: pytest.FixtureRequest) -> ReportOf:
    """Return the report of a server by its name: of the cells that this session has selected."""
    reports: dict[str, Report] = {}

    def report(server: str) -> Report:
        if server not in reports:
            cells = _selected(request.session, server)
            calm = [cell for cell in cells if cell.kind != "raising"]
            raising = [cell for cell in cells if cell.kind == "raising"]
            reports[server] = play(server, [calm, raising], table=table_for(server))
        return reports[server]

    return report


def _selected(session: pytest.Session, server: str) -> list[Cell]:
    parameters = (item.callspec.params for item in session.items if hasattr(item, "callspec"))
    chosen = (p["cell"] for p in parameters if p.keys() >= {"server", "cell"} and p["server"] == server)
    return list(dict.fromkeys(chosen)) or [cell for cell in CELLS if is_served_by(server, cell)]


@pytest.mark.parametrize(("server", "cell"), PLACES)
def test_a_guarded_stream_ends_as_the_table_says(guarded_report_of: ReportOf, server: str, cell: Cell) -> None:
    """One record with the right reason, the socket closed, the call ended, and a client's leaving makes no noise."""
    differences = differences_from(server, cell, guarded_report_of(server).outcomes[cell].observed)
    assert not differences, "; ".join(differences)


@pytest.mark.parametrize(("server", "cell"), PLACES)
def test_others_are_served_meanwhile(guarded_report_of: ReportOf, server: str, cell: Cell) -> None:
    """No library's stream, not even of a generator that never awaits, keeps the server from answering someone else."""
    assert guarded_report_of(server).outcomes[cell].healthy == [True, True]


@pytest.mark.parametrize("library", [name for name, entry in LIBRARIES.items() if "ticking" in entry.kinds])
@pytest.mark.parametrize("server", ALL_OF_IT)
def test_a_slow_reader_loses_nothing(guarded_report_of: ReportOf, server: str, library: str) -> None:
    """What a slow reader has received is every item from the first on, in order, whatever was put between them."""
    client = guarded_report_of(server).outcomes[Cell("slow", "ticking", library)].client
    numbers = [int(number) for number in re.findall(rb'(?:data: "?|"message":")(\d+) ', client.body)]
    assert len(numbers) > 5
    assert numbers == list(range(1, len(numbers) + 1))


@pytest.mark.parametrize("server", SERVERS)
def test_nothing_is_left(guarded_report_of: ReportOf, server: str) -> None:
    """When all clients are gone the process holds the tasks and descriptors it held before, and no thread is busy."""
    report = guarded_report_of(server)
    assert report.after["tasks"] == tasks_left(report.before, report.differences)
    assert report.after["descriptors"] == report.before["descriptors"]
    assert set(report.after["threads"]) <= {*report.before["threads"], *IDLE_WORKERS}
    assert report.after["busy_threads"] == []


@pytest.mark.parametrize("server", SERVERS)
def test_the_collector_frees_what_the_libraries_leave(guarded_report_of: ReportOf, server: str) -> None:
    """Nothing of the guard's holds a generator: the cycles that do are the libraries' own, and go when it runs."""
    noted = guarded_report_of(server).noted_after_collection
    assert [name for name, notes in noted.items() if notes["generator_alive"]] == []


@pytest.mark.parametrize("server", SERVERS)
def test_a_client_that_leaves_is_no_news(guarded_report_of: ReportOf, server: str) -> None:
    """Whatever the library raises for it: nothing above INFO is logged, and standard error stays free of tracebacks."""
    report = guarded_report_of(server)
    stray = [line["logger"] for line in report.log if line["probe"] is None]
    assert stray == [logger for difference in report.differences for logger in difference.stray_log]
    assert NOISE.findall(report.stderr) == [], report.stderr


@pytest.mark.parametrize("library", LIBRARIES)
def test_each_manner_is_explained(library: str) -> None:
    """Each entry of the table gives its reason, and every cell has at least one way to end."""
    entry = LIBRARIES[library]
    reasons = [manner.because for manner in (*entry.at_yield, *entry.at_await, *entry.in_a_thread)]
    assert all(len(reason.split()) > 6 for reason in (*reasons, entry.failing_because))
    for cell in (cell for cell in CELLS if cell.library == library):
        assert alternatives("granian", cell)
