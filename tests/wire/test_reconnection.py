"""The time before the next attempt."""

from __future__ import annotations

import pytest

from unbroken.wire.reconnection import reconnection_delay

pytestmark = pytest.mark.core


def window(failures: int, told: float | None = None, *, base: float = 1, cap: float = 30) -> tuple[float, float]:
    """Return the least and the most that can be drawn."""
    least, most = (reconnection_delay(failures, told, base=base, cap=cap, chance=chance) for chance in (0, 1))
    return least, most


def test_the_window_doubles_up_to_its_cap() -> None:
    """Full jitter: each delay may be nothing, or all of the window."""
    assert [window(failures) for failures in range(7)] == [(0, 1), (0, 2), (0, 4), (0, 8), (0, 16), (0, 30), (0, 30)]


def test_the_servers_time_comes_first() -> None:
    """WHATWG 9.2.3: at least the reconnection time is waited, and more after failures."""
    assert [window(failures, 5) for failures in range(3)] == [(5, 6), (5, 7), (5, 9)]


def test_a_server_may_ask_for_no_delay() -> None:
    """`retry: 0` is at once where a stream ended in good order; a short time has a short window."""
    assert window(0, 0) == (0, 0)
    assert reconnection_delay(0, 0, base=1, cap=30, chance=1, is_fault=True) == 1
    assert window(0, 0.25) == (0.25, 0.5)
    assert window(1, 0) == (0, 2)


def test_retry_after_is_a_least_time() -> None:
    """The longer of the two that a server asks for."""
    assert reconnection_delay(1, 3, base=1, cap=30, chance=0, at_least=20) == 20
    assert reconnection_delay(1, 30, base=1, cap=30, chance=0, at_least=20) == 30
