"""A reader that reads for weeks: nothing grows with the events, nor with the connections."""

from __future__ import annotations

import gc
import json
import logging
import subprocess
import sys

import pytest

from tests.e2e.serving import ROOT

from .growth import PER_CONNECTION, READERS, endless, left_behind, resident


@pytest.fixture
def _quiet(caplog: pytest.LogCaptureFixture) -> None:
    """Let no log grow: pytest keeps what is logged."""
    caplog.set_level(logging.ERROR, "unbroken.client")


@pytest.mark.parametrize("kind", READERS)
def test_two_hundred_connections_leave_nothing(kind: str) -> None:
    """Between the fiftieth and the last nothing that Python allocates has become more, and nothing is left open."""
    command = [sys.executable, "-m", "tests.faults.client.growth", kind]
    process = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=50, check=False)
    assert process.returncode == 0, process.stderr
    grown = json.loads(process.stdout)
    assert grown.pop("read") == [20_000, 200]
    assert grown.pop("objects") < 200
    assert grown.pop("bytes") < 64 * 1024
    assert grown == dict.fromkeys(grown, 0)


@pytest.mark.soak
@pytest.mark.timeout(900)
@pytest.mark.parametrize("kind", READERS)
@pytest.mark.usefixtures("_quiet")
def test_a_million_events_over_ten_thousand_connections(kind: str) -> None:
    """After the first tenth the process grows by less than 4 MiB."""
    total, sizes = 1_000_000, list[int]()

    def look(number: int) -> None:
        if number in (total // 10, total - PER_CONNECTION // 2):
            gc.collect()
            sizes.append(resident())

    before = left_behind()
    with endless() as url:
        source = READERS[kind](url, total, look)
    assert (source.stats.events, source.stats.connections) == (total, total // PER_CONNECTION)
    assert sizes[1] - sizes[0] < 4 * 2**20
    after = left_behind()
    assert {name: after[name] for name in after if name != "objects"} == {
        name: before[name] for name in before if name != "objects"
    }
    print(f"{sizes[1] - sizes[0]} bytes more than after the first tenth")
