"""The same over Valkey, PostgreSQL and NATS."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path

import pytest

from .places import ENGINES
from .play import Plan, Report, play
from .test_processes import SOAK

SLICE = Plan(seed=3)
SOAKS = [replace(SOAK, seed=seed, engine=engine) for engine in ENGINES for seed in range(200, 204)]


async def all_played(folder: Path) -> dict[str, Report]:
    """Play over all engines at once: most of it is waiting."""
    folders = {engine: folder / engine for engine in ENGINES}
    for place in folders.values():
        place.mkdir()
    reports = await asyncio.gather(*(play(replace(SLICE, engine=engine), folders[engine]) for engine in ENGINES))
    return dict(zip(ENGINES, reports, strict=True))


def test_every_reader_has_what_the_log_has_to_the_end(tmp_path: Path) -> None:
    """Two kills, and a process that stands still beyond its lease; over each engine 30 runs with two readers each."""
    for engine, report in asyncio.run(all_played(tmp_path)).items():
        print(engine, report)
        assert report.problems == [], engine
        assert {"done", "lost"} <= report.statuses.keys(), engine
        assert report.attempts[2] > 0, engine
        assert report.refused > 0, engine
        assert report.connections > report.runs * SLICE.readers, engine


@pytest.mark.soak
@pytest.mark.parametrize("plan", SOAKS, ids=lambda plan: f"{plan.engine} {plan.seed}")
def test_the_same_with_200_runs(plan: Plan, tmp_path: Path) -> None:
    """As above, and a deployment."""
    report = asyncio.run(play(plan, tmp_path))
    print(report)
    assert report.problems == []
    assert report.refused > 0
    assert report.hasty == 0
    assert len(report.attempts) > 1
