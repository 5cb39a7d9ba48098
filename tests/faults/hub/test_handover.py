"""Servers are killed, the log is trimmed and taken back, readers come and go: nobody misses anything unannounced."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from .fuzz import play
from .plan import Plan, Report

MILLION = 1_000_000

ONLY_REWRITES = (("take back", 1), ("rewrite", 2))
IN_MEMORY = (("take back", 4), ("rewrite", 4), ("lose", 2), ("trim", 6))
OF_WORKERS = (("kill", 2), ("take back", 2), ("rewrite", 2), ("lose", 1), ("trim", 4))

SLICES = {
    "three processes": Plan(seed=1, seconds=4, readers=30),
    "one process, in memory": Plan(seed=2, seconds=2, processes=1, in_memory=True, readers=30, blows=IN_MEMORY),
}
SOAKS = [
    *(Plan(seed=seed, seconds=20, readers=80, topics=6, pause=0.01) for seed in range(100, 112)),
    *(Plan(seed=seed, seconds=20, readers=150, topics=4, pause=0.02) for seed in range(200, 204)),
    *(
        Plan(seed=seed, seconds=20, processes=1, workers=3, readers=80, pause=0.01, blows=OF_WORKERS)
        for seed in range(300, 304)
    ),
    *(
        Plan(seed=seed, seconds=15, processes=1, in_memory=True, readers=80, pause=0.01, blows=IN_MEMORY)
        for seed in range(400, 402)
    ),
]


def played(plan: Plan, folder: Path) -> Report:
    """Play a plan, and print what was counted."""
    report = asyncio.run(play(plan, folder))
    print(f"\nseed {plan.seed}: {report}")
    return report


@pytest.mark.parametrize("name", SLICES)
def test_every_event_comes_once_and_in_order_or_a_gap_is_told_that_is_true(name: str, tmp_path: Path) -> None:
    """No hole, duplicate, fork, untrue or repeated gap, lost or doubled publication; and all come to the end."""
    report = played(SLICES[name], tmp_path)
    assert report.all_problems() == []
    assert report.verdict.deliveries > 1000
    assert report.verdict.resumed > 0
    assert report.verdict.gaps.total() > 0
    assert set(report.refused) <= {503}


def test_workers_that_are_killed_lose_nothing_and_their_readers_go_on_at_others(tmp_path: Path) -> None:
    """Three workers of one server, on one file, of which some are killed: not a gap is told, and none is needed."""
    killing = (("kill", 1),)
    plan = Plan(seed=5, seconds=3, processes=1, workers=3, readers=20, blows=killing, chaos=0.7, kept=10_000)
    report = played(plan, tmp_path)
    assert report.blows["kill"] > 0
    assert report.all_problems() == []
    assert {reason for reason in report.verdict.gaps if reason != "overflow"} == set()
    assert report.verdict.resumed > 0


def test_without_a_look_at_the_link_to_the_tag_before_forks_go_unnoticed(tmp_path: Path) -> None:
    """The same fuzz with the check of links turned off finds forks: so it would find that they are not checked."""
    plan = Plan(seed=3, seconds=2, processes=2, readers=20, mutation="links", blows=ONLY_REWRITES, chaos=0.2)
    report = played(plan, tmp_path)
    assert report.verdict.count("fork") > 0
    assert report.verdict.gaps["fork"] == 0


def test_an_event_that_a_feed_drops_is_found_to_be_missing(tmp_path: Path) -> None:
    """One event of two hundred is dropped on its way to those who are live: each of them has a hole."""
    plan = Plan(seed=4, seconds=2, processes=1, in_memory=True, readers=20, mutation="feed", blows=(), pause=0.01)
    report = played(plan, tmp_path)
    assert report.verdict.count("hole") > 0


@pytest.mark.soak
@pytest.mark.timeout(1800)
def test_a_million_deliveries_have_no_silent_hole_and_no_duplicate(tmp_path: Path) -> None:
    """Over many seeds, with processes of their own ports and workers of one: at least a million deliveries."""
    reports = [played(plan, tmp_path) for plan in SOAKS]
    total = reports[0]
    for report in reports[1:]:
        total.add(report)
    print(f"\nall: {total}")
    assert total.all_problems() == []
    assert total.verdict.deliveries >= MILLION
    assert set(total.refused) <= {503}
    assert {"trimmed", "rollback", "fork", "epoch", "overflow"} <= set(total.verdict.gaps)
