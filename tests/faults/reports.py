"""One server's whole part of the matrix: played once, asked about many times."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from .cells import HERE, Ask, Cell, Network, Options, Outcome, ask, run, wait_for
from .clients import ON_THE_SPOT
from .expectations import Difference, differences_of, expected, options
from .generators import GENERATORS
from .servers import APPLICATION, Server

__all__ = ["CELLS", "Census", "Report", "Table", "play", "tasks_left"]

CELLS = tuple(Cell(behaviour, kind) for behaviour in ON_THE_SPOT for kind in GENERATORS)
QUIET_TIMEOUT = 10.0

Census = Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """What is played, and what must come of it."""

    application: str
    warm_up: Sequence[Cell]
    """One stream of each sort, after which the process holds what it keeps for good."""
    ask: Ask
    options: Callable[[Cell], Options]
    differences_from: Callable[[str, Cell, Mapping[str, Any]], Sequence[str]]
    """Says where what was observed of a server's cell is not as the table has it."""
    differences_of: Callable[[str, Cell], Sequence[Difference]]
    leaves_generators: bool = False
    """Whether some are known to wait for the collector."""


OURS = Table(
    application=APPLICATION,
    warm_up=(Cell("fin", "queue"), Cell("fin", "sync"), Cell("fin", "sleeping")),
    ask=ask,
    options=lambda cell: options(cell.behaviour, cell.kind),
    differences_from=lambda server, cell, seen: expected(server, cell.behaviour, cell.kind).differences(seen),
    differences_of=lambda server, cell: differences_of(server, cell.behaviour, cell.kind),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """What was observed of one server."""

    outcomes: Mapping[Cell, Outcome]
    differences: list[Difference]
    """What the server is known to do otherwise, once for each cell that it concerns."""
    before: Census
    """The process when it had served one stream of a kind, and none was open."""
    after: Census
    """The process after all streams, before the collector was run."""
    stderr: str
    """What was written there in the first round."""
    noted_before_collection: Mapping[str, Any]
    noted_after_collection: Mapping[str, Any]
    log: list[dict[str, str | None]]
    """Every line above INFO."""


def play(name: str, rounds: Sequence[Sequence[Cell]], network: Network = HERE, table: Table = OURS) -> Report:
    """Start the server, play the cells on it, round by round, and stop it.

    Generators that raise are played apart: what they rightly log would hide what must not be logged.
    """
    server = Server.start(name, table.application, network.host)
    try:
        _run(server, table.warm_up, HERE, table)
        before, stderr_before = server.json("/census"), len(server.stderr())
        outcomes = _run(server, rounds[0], network, table)
        stderr = server.stderr()[stderr_before:]
        for cells in rounds[1:]:
            outcomes |= _run(server, cells, network, table)
        differences = [other for cell in outcomes for other in table.differences_of(name, cell)]
        return _finish(server, outcomes, differences, before, stderr, table)
    finally:
        server.stop()


def _run(server: Server, cells: Sequence[Cell], network: Network, table: Table) -> dict[Cell, Outcome]:
    def settled(cell: Cell, observed: Mapping[str, Any]) -> bool:
        return not table.differences_from(server.kind.name, cell, observed)

    return run(server, cells, table.options, settled, network, table.ask)


def _finish(
    server: Server,
    outcomes: dict[Cell, Outcome],
    differences: list[Difference],
    before: Census,
    stderr: str,
    table: Table,
) -> Report:
    left = tasks_left(before, differences)
    wait_for(lambda: is_as_before(before, left, server.json("/census"), table.leaves_generators), QUIET_TIMEOUT)
    after = server.json("/census")
    noted = server.json("/observed")
    server.json("/collect", "POST")
    return Report(
        outcomes=outcomes,
        differences=differences,
        before=before,
        after=after,
        stderr=stderr,
        noted_before_collection=noted,
        noted_after_collection=server.json("/observed"),
        log=server.json("/census")["log"],
    )


def tasks_left(before: Census, differences: Iterable[Difference]) -> list[str]:
    """Return the tasks there were, and those that the server is known to leave."""
    return sorted([*before["tasks"], *(task for difference in differences for task in difference.left_tasks)])


def is_as_before(before: Census, tasks: list[str], after: Census, leaves_generators: bool) -> bool:
    """Say whether the process holds no more than it should."""
    same = after["tasks"] == tasks and after["descriptors"] == before["descriptors"]
    return same and (leaves_generators or not after["generators"]) and not after["busy_threads"]
