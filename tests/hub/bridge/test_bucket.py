"""The rate of a token, over time."""

from __future__ import annotations

import pytest

from unbroken.hub.bridge.bucket import Bucket


def test_in_the_long_run(monkeypatch: pytest.MonkeyPatch) -> None:
    """As many at once as the burst; then as many a second as the rate, however often it is asked."""
    now = 1000.0
    monkeypatch.setattr("unbroken.hub.bridge.bucket.time.monotonic", lambda: now)
    bucket = Bucket(rate=2.0, burst=5)
    taken = 0
    for _ in range(1000):  # 100 s, ten times a second
        taken += bucket.take() == 0
        now += 0.1
    assert taken in (5 + 199, 5 + 200)
    now += 1e6
    assert [bucket.take() for _ in range(6)] == [0.0] * 5 + [0.5]


def test_none_without_a_rate() -> None:
    """None is without bound."""
    assert Bucket.of(None, 1) is None
