"""The benchmark of runs runs from end to end, and every token that it counts is one that was sent."""

from __future__ import annotations

import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest
from benchmarks.engines.results import Results
from benchmarks.runs.tokens import Account
from benchmarks.runs.ways import WAYS

ROOT = Path(__file__).resolve().parents[2]
STREAMS = (1, 20)
"""How many at once, with --quick."""

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="reads the CPU of a process as Linux gives it")


def _run(path: Path, *arguments: str, timeout: float = 50) -> str:
    command = [sys.executable, "-m", "benchmarks", "--only", "runs", "--quick", "--seconds", "0.2"]
    ran = subprocess.run(
        [*command, "--save", str(path), *arguments],
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
        timeout=timeout,
    )
    return ran.stdout


def _wrong(results: Results) -> list[str]:
    """Return what makes figures worthless: to be late is none of that, on a machine that does other things."""
    flaws = [flaw for ways in results.flaws.values() for own in ways.values() for flaw in own]
    return [flaw for flaw in flaws if "fell behind" not in flaw]


def test_every_token_comes_to_its_reader_and_the_report_has_it(tmp_path: Path) -> None:
    """A cost per token is worth nothing if tokens are lost, doubled, out of order, or the run's end does not come."""
    saved = tmp_path / "figures.json"
    ways = ["sse-starlette", "run, coalesced"]
    told = _run(saved, "--engines", "none", "memory", "--peers", *ways)
    results = Results.read(saved)
    assert _wrong(results) == []
    for engine, way in zip(["none", "memory"], ways, strict=True):
        assert [results.get(engine, way, f"tokens {streams}") for streams in STREAMS] == [[6], [120]]
        assert f"| {engine} | {way} | " in told


def test_an_account_has_every_token_however_it_was_cut_or_joined() -> None:
    """Tokens come one in a frame, joined in one, or in two reads: each is counted once, with its own age."""
    account = Account()
    sent = b"18\r\nid: 7-1\ndata: 00000:000000000010~\n\n\r\ndata: 00001:000000000020~00002:000000000030~\n\n"
    for at in range(0, len(sent), 7):
        account.take(sent[at : at + 7])
    assert account.numbers == [0, 1, 2]
    assert [arrived - late for arrived, late in zip(account.arrivals, account.latencies, strict=True)] == [10, 20, 30]


@pytest.mark.soak
@pytest.mark.parametrize("engine", ["none", "memory", "sqlite", "valkey", "postgres", "nats"])
def test_every_way_is_measured_on_every_engine(engine: str, tmp_path: Path) -> None:
    """Each has its figures, of all tokens, in order."""
    _run(tmp_path / "figures.json", "--engines", engine)
    results = Results.read(tmp_path / "figures.json")
    assert _wrong(results) == []
    here = [name for name, way in WAYS.items() if engine in way.engines and all(map(find_spec, way.needs))]
    assert list(results.values[engine]) == here
    for way in here:
        assert {"idle 1", "cpu 1", "p50 1", "p99 1", "cpu 20", "p50 20", "p99 20"} <= results.values[engine][way].keys()
