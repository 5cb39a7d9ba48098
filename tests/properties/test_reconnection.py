"""The time before the next attempt, whatever a server asks for."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from unbroken.wire.reconnection import MAX_TOLD_DELAY, reconnection_delay


@given(
    failures=st.integers(0, 10**9),
    told=st.none() | st.floats(0, 1e30),
    at_least=st.floats(0, 1e30),
    chance=st.floats(0, 1),
)
def test_it_is_always_within_bounds(failures: int, told: float | None, at_least: float, chance: float) -> None:
    """Whatever a server asks for, and however long it is away."""
    delay = reconnection_delay(failures, told, base=1, cap=30, chance=chance, at_least=at_least)
    assert 0 <= delay <= MAX_TOLD_DELAY + 30
