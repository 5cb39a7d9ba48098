"""What the tests of runs are given."""

from __future__ import annotations

import time

import pytest

from tests.runs.support import WallClock


@pytest.fixture
def wall_clock(monkeypatch: pytest.MonkeyPatch) -> WallClock:
    """Have ages go by a clock that a test can set."""
    clock = WallClock()
    monkeypatch.setattr(time, "time", clock)
    return clock
