"""What observers keep of open streams."""

from __future__ import annotations

import pytest

from tests.observe.records import Opened
from unbroken.observe import metering, roster
from unbroken.observe.metering import Held, error_type


def test_a_value_is_kept_until_its_stream_ends() -> None:
    """It is given back once, and a stream that nobody told of has none."""
    held: Held[str] = Held(pytest.fail)
    held.hold(1, "one")
    assert (held.release(1), held.release(1), held.release(2)) == ("one", None, None)


def test_what_is_held_for_streams_that_ended_untold_is_let_go() -> None:
    """However many ends are missed, it stays within a multiple of the streams that are open, and those are kept."""
    gone: list[str] = []
    held: Held[str] = Held(gone.append)
    still_open = Opened(id=-1)
    roster.enter(still_open)
    try:
        held.hold(still_open.id, "open")
        for stream_id in range(10_000):
            held.hold(stream_id, "ended")
            assert len(held) <= metering.MIN_SWEEP
    finally:
        roster.leave(still_open)
    assert len(gone) + len(held) == 10_001
    assert "open" not in gone
    assert held.release(still_open.id) == "open"


def test_many_open_streams_are_all_kept() -> None:
    """The bound follows the open streams."""
    gone: list[int] = []
    held: Held[int] = Held(gone.append)
    streams = [Opened(id=-number) for number in range(1, 501)]
    for stream in streams:
        roster.enter(stream)
        held.hold(stream.id, stream.id)
    try:
        assert (len(held), gone) == (500, [])
    finally:
        for stream in streams:
            roster.leave(stream)


class OwnError(Exception):
    pass


def test_an_error_is_called_by_its_class() -> None:
    """With the module, as tracing has it, unless it is built in."""
    assert error_type(ValueError()) == "ValueError"
    assert error_type(OwnError()) == "tests.observe.test_metering.OwnError"


@pytest.mark.parametrize("buckets", [metering.DURATION_BUCKETS, metering.FIRST_BYTE_BUCKETS, metering.SILENCE_BUCKETS])
def test_buckets_rise(buckets: tuple[float, ...]) -> None:
    """Both libraries take them as they are."""
    assert list(buckets) == sorted(set(buckets))
