"""The same over Valkey, PostgreSQL and NATS, which are killed, set back, lost, frozen, and cut off from the servers."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from .operated import ENGINES, FAILING_OVER
from .plan import Plan
from .test_handover import played

BLOWS = (
    ("kill", 2),
    ("trim", 4),
    ("cut", 3),
    ("swallow", 1),
    ("engine kill", 2),
    ("engine freeze", 1),
    ("engine restore", 1),
    ("engine lose", 1),
)
HARMLESS = (("kill", 2), ("cut", 3), ("swallow", 1), ("engine kill", 2), ("engine freeze", 1))
"""By which nothing is lost that was acknowledged."""

SLICE = Plan(seed=20, seconds=5, processes=2, readers=20, blows=BLOWS, chaos=0.5, pause=0.04)
SOAKS = [
    replace(SLICE, seed=seed, seconds=40, processes=3, readers=60, topics=6, pause=0.02, engine=engine)
    for engine in ENGINES
    for seed in range(500, 504)
]
HARMLESS_SOAKS = [
    replace(soak, seed=soak.seed + 100, blows=HARMLESS, keeps=True, kept=100_000) for soak in SOAKS if not soak.seed % 2
]


def named(plan: Plan) -> str:
    """Return a test's name."""
    return f"{plan.engine} {plan.seed}"


@pytest.mark.parametrize("engine", ENGINES)
def test_every_event_comes_once_and_in_order_or_a_gap_is_told_that_is_true(engine: str, tmp_path: Path) -> None:
    """No hole, duplicate, fork, untrue or repeated gap, lost or doubled publication; and all come to the end."""
    report = played(replace(SLICE, engine=engine), tmp_path)
    assert report.all_problems() == []
    assert report.verdict.deliveries > 500
    assert report.verdict.resumed > 0
    assert set(report.refused) <= {503}


def test_three_processes_behind_a_proxy_that_are_started_anew_lose_nothing(tmp_path: Path) -> None:
    """300 clients whom Caddy gives to each in turns, while one after the other is killed: not a gap, nothing twice."""
    blows = (("kill", 1),)
    plan = Plan(
        seed=30, seconds=6, readers=300, proxied=True, engine="valkey", keeps=True, kept=100_000, pause=0.1, blows=blows
    )
    report = played(replace(plan, chaos=1.0), tmp_path)
    assert report.blows["kill"] > 1
    assert report.all_problems() == []
    assert {reason for reason in report.verdict.gaps if reason != "overflow"} == set()
    assert report.verdict.connections > 600


@pytest.mark.soak
@pytest.mark.parametrize("plan", SOAKS, ids=named)
def test_the_same_for_long(plan: Plan, tmp_path: Path) -> None:
    """As above."""
    report = played(plan, tmp_path)
    assert report.all_problems() == []
    assert report.verdict.gaps.total() > 0


@pytest.mark.soak
@pytest.mark.parametrize(
    ("mutation", "blows", "kind"),
    [("links", (("engine restore", 1),), "fork"), ("feed", (), "hole"), ("appends", (("kill", 1),), "ack")],
)
def test_what_is_broken_is_found(mutation: str, blows: tuple[tuple[str, int], ...], kind: str, tmp_path: Path) -> None:
    """With the check of links off there are forks, with an event dropped holes, with a lie about an append a loss."""
    plan = replace(SLICE, engine="valkey", seconds=8, mutation=mutation, blows=blows, chaos=0.2, pause=0.01)
    report = played(replace(plan, keeps=kind == "ack"), tmp_path)
    assert kind in {problem.kind for problem in report.all_problems()}


@pytest.mark.soak
@pytest.mark.parametrize("engine", FAILING_OVER)
def test_what_a_failover_loses_is_told(engine: str, tmp_path: Path) -> None:
    """A replica that lacks what was acknowledged takes over, again and again: forks and rollbacks, and no other gap."""
    blows = (("kill", 1), ("failover", 3))
    plan = replace(SLICE, seed=40, seconds=60, engine=engine, blows=blows, chaos=3.0, kept=100_000)
    report = played(plan, tmp_path)
    assert report.all_problems() == []
    assert report.blows["failover"] > 3
    assert report.verdict.gaps["rollback"] + report.verdict.gaps["fork"] > 0
    assert set(report.verdict.gaps) <= {"rollback", "fork", "overflow"}


@pytest.mark.soak
@pytest.mark.parametrize("plan", HARMLESS_SOAKS, ids=named)
def test_what_an_engine_keeps_is_lost_to_nobody(plan: Plan, tmp_path: Path) -> None:
    """Killed, frozen and cut off, an engine that writes down what it acknowledges gives no cause for a gap."""
    report = played(plan, tmp_path)
    assert report.all_problems() == []
    assert {reason for reason in report.verdict.gaps if reason != "overflow"} == set()
