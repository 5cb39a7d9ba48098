"""Runs of three servers that are killed, frozen and terminated while readers come and go: over a file, and in memory.

Each play is judged as a whole: every reader that stays has what the log has, each run has one end, nothing of a
producer whose run was taken over is to be seen, and nothing that was acknowledged is missing.
"""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path

import pytest

from .play import Plan, Report, play

SLICE = Plan(seed=1, blows=("kill", "freeze", "kill", "terminate"), burst=5)
MEMORY = Plan(seed=2, engine="memory", servers=1, blows=())
SOAK = Plan(
    seed=0,
    servers=4,
    runs=200,
    burst=20,
    readers=3,
    items=150,
    lease=3.0,
    blows=("kill", "freeze", "terminate", "kill", "freeze", "kill"),
)
SOAKS = [replace(SOAK, seed=seed) for seed in range(100, 104)]


def played(plan: Plan, folder: Path) -> Report:
    """Play, and show what came of it if the test fails."""
    report = asyncio.run(play(plan, folder))
    print(report)
    return report


def test_every_reader_has_what_the_log_has_to_the_end(tmp_path: Path) -> None:
    """Two kills, a process that stands still beyond its lease, and a deployment; 30 runs with two readers each."""
    report = played(SLICE, tmp_path)
    assert report.problems == []
    assert {"done", "lost", "interrupted"} <= report.statuses.keys()
    assert report.attempts[2] > 0
    assert report.refused > 0
    assert report.connections > report.runs * SLICE.readers


@pytest.mark.parametrize("runs", [8, pytest.param(200, marks=pytest.mark.soak)])
def test_one_process_keeps_runs_in_its_memory(runs: int, tmp_path: Path) -> None:
    """Nothing befalls it; readers come and go, and some runs are cancelled."""
    report = played(replace(MEMORY, runs=runs), tmp_path)
    assert report.problems == []
    assert report.attempts.keys() == {1}
    assert report.statuses.keys() == {"done", "cancelled"}


@pytest.mark.soak
@pytest.mark.parametrize("plan", SOAKS, ids=lambda plan: str(plan.seed))
def test_the_same_with_200_runs(plan: Plan, tmp_path: Path) -> None:
    """As above."""
    report = played(plan, tmp_path)
    assert report.problems == []
    assert report.refused > 0
    assert report.hasty == 0
    assert len(report.attempts) > 1


@pytest.mark.soak
@pytest.mark.parametrize(
    ("mutation", "plan", "kind"),
    [
        ("feed", SLICE, "reading"),
        ("acknowledgements", SLICE, "acknowledgement"),
        ("ends", SLICE, "end"),
        ("fences", replace(SLICE, runs=20, burst=20, blows=("freeze",), readers=1), "fence"),
        ("election", replace(SLICE, runs=40, burst=0, readers=1, blows=()), "election"),
        ("sweep", replace(SLICE, runs=8, burst=6, blows=("kill",)), "unfinished"),
    ],
)
def test_what_is_broken_is_found(mutation: str, plan: Plan, kind: str, tmp_path: Path) -> None:
    """An event is dropped, an append made up, an end made twice, fences and keys ignored, orphans left alone."""
    report = played(replace(plan, mutation=mutation), tmp_path)
    assert kind in report.kinds
