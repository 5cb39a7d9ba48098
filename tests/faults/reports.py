"""One server's whole part of the matrix: played once, asked about many times."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from .cells import HERE, Cell, Network, Outcome, run, wait_for
from .clients import ON_THE_SPOT
from .expectations import Difference, differences_of, expected, options
from .generators import GENERATORS
from .servers import Server

__all__ = ["CELLS", "Report", "play"]

CELLS = tuple(Cell(behaviour, kind) for behaviour in ON_THE_SPOT for kind in GENERATORS)
WARM_UP = (Cell("fin", "queue"), Cell("fin", "sync"), Cell("fin", "sleeping"))
QUIET_TIMEOUT = 10.0

Census = Mapping[str, Any]


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


def play(name: str, rounds: Sequence[Sequence[Cell]], network: Network = HERE) -> Report:
    """Start the server, play the cells on it, round by round, and stop it.

    Generators that raise are played apart: what they rightly log would hide what must not be logged.
    """
    server = Server.start(name, host=network.host)
    try:
        _run(server, WARM_UP, HERE)
        before, stderr_before = server.json("/census"), len(server.stderr())
        outcomes = _run(server, rounds[0], network)
        stderr = server.stderr()[stderr_before:]
        for cells in rounds[1:]:
            outcomes |= _run(server, cells, network)
        return _finish(server, outcomes, before, stderr)
    finally:
        server.stop()


def _run(server: Server, cells: Sequence[Cell], network: Network) -> dict[Cell, Outcome]:
    name = server.kind.name
    return run(
        server,
        cells,
        options,
        lambda cell, observed: not expected(name, cell.behaviour, cell.kind).differences(observed),
        network,
    )


def _finish(server: Server, outcomes: dict[Cell, Outcome], before: Census, stderr: str) -> Report:
    differences = [other for cell in outcomes for other in differences_of(server.kind.name, cell.behaviour, cell.kind)]
    left = tasks_left(before, differences)
    wait_for(lambda: is_as_before(before, left, server.json("/census")), QUIET_TIMEOUT)
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


def is_as_before(before: Census, tasks: list[str], after: Census) -> bool:
    """Say whether the process holds no more than it should."""
    same = after["tasks"] == tasks and after["descriptors"] == before["descriptors"]
    return same and not after["generators"] and not after["busy_threads"]
