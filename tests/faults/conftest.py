"""One report for each server and test session, made when a test first asks for it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from .cells import Cell
from .reports import CELLS, Report, play


@pytest.fixture(scope="session")
def report_of(request: pytest.FixtureRequest) -> Callable[[str], Report]:
    """Return the report of a server by its name: of the cells that this session has selected, or else of all."""
    reports: dict[str, Report] = {}

    def report(server: str) -> Report:
        if server not in reports:
            cells = _selected(request.session, server) or list(CELLS)
            calm = [cell for cell in cells if cell.kind != "raising"]
            reports[server] = play(server, [calm, [cell for cell in cells if cell not in calm]])
        return reports[server]

    return report


def _selected(session: pytest.Session, server: str) -> list[Cell]:
    parameters: list[dict[str, Any]] = [item.callspec.params for item in session.items if hasattr(item, "callspec")]
    cells = (p for p in parameters if p.keys() >= {"server", "behaviour", "kind"} and p["server"] == server)
    return list(dict.fromkeys(Cell(p["behaviour"], p["kind"]) for p in cells))
