"""The benchmark's part for `explain`: it runs, and what it reads stays out of memory."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
KINDS = ["access log with streams and tracebacks", "access log", "asyncio's warnings", "nothing but tracebacks"]

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the peak of memory is in the units that Linux gives")


def _rows(megabytes: int, timeout: float) -> list[list[str]]:
    command = [sys.executable, "-m", "benchmarks", "--only", "explain", "--megabytes", str(megabytes)]
    ran = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True, timeout=timeout)
    rows = [line.strip("| ").split(" | ") for line in ran.stdout.splitlines() if line.startswith("| ")]
    return rows[1:]


def test_there_is_a_row_for_each_kind_of_log() -> None:
    """Each kind of log is read to its end, and what is in it is found."""
    rows = _rows(2, timeout=50)
    assert [row[0] for row in rows] == KINDS
    found = {row[0]: int(row[4]) for row in rows}
    assert found["access log"] == 0
    assert min(count for kind, count in found.items() if kind != "access log") > 0


@pytest.mark.soak
@pytest.mark.timeout(900)
def test_a_gigabyte_is_read_in_bounded_memory() -> None:
    """1 GB of log takes less than 100 MiB, of which the interpreter and the libraries are half."""
    for kind, _, _, peak, _ in _rows(1000, timeout=800):
        assert float(peak) < 100, kind
