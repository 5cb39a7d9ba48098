"""The benchmark of the engines runs from end to end, and what it counts is what was sent. No figure is asserted."""

from __future__ import annotations

import json
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
from benchmarks.engines.events import PROBE, Account, place, stamped
from benchmarks.engines.layers import LAYERS, OURS
from benchmarks.engines.results import Results

ROOT = Path(__file__).resolve().parents[2]
SUBSCRIBERS, EVENTS = 5, 40

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="counts connections as Linux shows them")


def _run(path: Path, *arguments: str, timeout: float = 50) -> str:
    command = [sys.executable, "-m", "benchmarks", "--only", "engines", "--quick", "--seconds", "0.1"]
    command += ["--subscribers", str(SUBSCRIBERS), "--events", str(EVENTS), "--save", str(path)]
    ran = subprocess.run([*command, *arguments], cwd=ROOT, check=True, capture_output=True, text=True, timeout=timeout)
    return ran.stdout


def _counts(results: Results, engine: str, layer: str) -> list[list[float]]:
    return [results.get(engine, layer, f"flood {name}") for name in ("expected", "lost", "twice", "jumps")]


def test_every_event_comes_to_every_subscriber_and_the_report_has_it(tmp_path: Path) -> None:
    """A figure per event is worth nothing if events are lost, doubled or late; ours has 1.00x in each table."""
    saved = tmp_path / "figures.json"
    told = _run(saved, "--engines", "valkey", "--peers", OURS, "redis-py XADD", "--scenarios", "publish", "flood")
    results = Results.read(saved)
    assert results.flaws == {"valkey": {OURS: [], "redis-py XADD": []}}
    assert _counts(results, "valkey", OURS) == [[SUBSCRIBERS * EVENTS], [0], [0], [0]]
    assert results.get("valkey", "redis-py XADD", "publish connections") == [64]
    rows = [line for line in told.splitlines() if line.startswith((f"| {OURS} |", "| redis-py"))]
    assert [row.split(" | ")[0].removeprefix("| ") for row in rows] == [OURS, "redis-py XADD", OURS]
    assert all("(1.00x)" in row for row in rows if OURS in row)


def test_an_account_names_what_is_lost_doubled_and_out_of_order() -> None:
    """Each publisher's events are counted for themselves; what jumps ahead, or over what never comes, is seen."""
    account = Account(lanes=2, events=4)
    for lane, number in [(0, 0), (1, 0), (0, 2), (0, 1), (1, 1), (1, 1), (1, 3)]:
        assert account.take(stamped(place(lane, number, events=4)))
    assert (account.received, account.twice, account.jumps) == (6, 1, 2)
    assert not account.take(stamped(PROBE))


@pytest.mark.soak
@pytest.mark.skipif(not (find_spec("litestar") and find_spec("broadcaster")), reason="the extra `bench` is not there")
@pytest.mark.parametrize("engine", list(LAYERS))
def test_every_layer_is_measured_on_every_engine(engine: str, tmp_path: Path) -> None:
    """Each that subscribes gets all events on a quiet engine, and has its figures in all tables."""
    _run(tmp_path / "figures.json", "--engines", engine)
    results = Results.read(tmp_path / "figures.json")
    assert list(results.values[engine]) == list(LAYERS[engine])
    for layer, kind in LAYERS[engine].items():
        measured: dict[str, Any] = results.values[engine][layer]
        assert {"publish alone", "publish together", "publish spread"} <= measured.keys()
        if kind.subscribes:
            assert {"p50", "p99", "steady cpu", "flood cpu"} <= measured.keys()
            assert _counts(results, engine, layer) == [[SUBSCRIBERS * EVENTS], [0], [0], [0]]


def test_the_figures_survive_a_file(tmp_path: Path) -> None:
    """What is saved is what is read."""
    results = Results(machine="one", absent={"nats": "no server"})
    results.add("valkey", OURS, {"p50": 1.5}, ["late"])
    results.add("valkey", OURS, {"p50": 2.5}, ["late"])
    (tmp_path / "figures.json").write_text(results.to_json())
    assert json.loads(results.to_json())["flaws"] == {"valkey": {OURS: ["late"]}}
    assert Results.read(tmp_path / "figures.json") == results
