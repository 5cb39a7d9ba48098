"""The benchmark runs from end to end and loses nothing. Its figures are for people: none is asserted."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
PEERS = ["unbroken", "StreamingResponse", "guard around StreamingResponse"]

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="reads CPU and memory of a process as Linux gives them")


def _report(*arguments: str) -> str:
    command = [sys.executable, "-m", "benchmarks", "--quick", "--events", "300", "--streams", "5", *arguments]
    return subprocess.run(
        [*command, "--peers", *PEERS], cwd=ROOT, check=True, capture_output=True, text=True, timeout=50
    ).stdout


@pytest.mark.parametrize("part", ["stream", "await", "idle"])
def test_every_event_and_every_stream_arrives(part: str) -> None:
    """A figure per event is worth nothing if events are lost: each peer's every event is counted at the client."""
    measured: dict[str, dict[str, list[dict[str, Any]]]] = json.loads(_report("--only", part, "--json"))
    assert measured
    for peers in measured.values():
        assert list(peers) == PEERS
        for (figure,) in peers.values():
            assert figure["received"] == figure["expected"] == (5 if part == "idle" else 300)


def test_every_answer_arrives() -> None:
    """What an application is wrapped in is compared by answers that came whole."""
    wrappings = json.loads(_report("--only", "request", "--requests", "50", "--json"))["request"]
    assert list(wrappings) == ["no middleware", "an empty middleware", "EventStreamGuard"]
    for (figure,) in wrappings.values():
        assert figure["received"] == figure["expected"] == 50


def test_the_report_has_a_row_per_peer() -> None:
    """Every peer that was asked for is in the table, with its ratio to ours."""
    rows = [line for line in _report("--only", "stream").splitlines() if line.startswith("| ")]
    head, *body = rows
    assert head.startswith("| peer |")
    assert [row.split(" | ")[0].removeprefix("| ") for row in body] == PEERS
    assert body[0].endswith("| 1.00 |")
