"""The timer wheel."""

from __future__ import annotations

import asyncio
import gc
import weakref

import pytest

from unbroken.stream.wheel import RESOLUTION, TimerWheel, current_wheel
from unbroken.testing import run_with_virtual_clock

pytestmark = pytest.mark.core


class Entry:
    """Notes when it is called, and wants to be called again at the moments given."""

    def __init__(self, *again: float) -> None:
        self.slot: int | None = None
        self.again = list(again)
        self.times: list[float] = []

    def on_time(self, now: float) -> float | None:
        self.times.append(now)
        return now + self.again.pop(0) if self.again else None


def test_an_entry_is_called_in_its_slot_and_again_when_it_says_so() -> None:
    """Never early, and late by a slot at the most."""

    async def main() -> tuple[float, Entry]:
        wheel, entry = TimerWheel(), Entry(5.0)
        begin = asyncio.get_running_loop().time()
        wheel.file(entry, begin + 1.0)
        await asyncio.sleep(10)
        assert len(wheel) == 0
        return begin, entry

    begin, entry = run_with_virtual_clock(main())
    assert len(entry.times) == 2
    assert 1.0 <= entry.times[0] - begin <= 1.0 + 2 * RESOLUTION
    assert 5.0 <= entry.times[1] - entry.times[0] <= 5.0 + 2 * RESOLUTION


def test_filing_for_later_keeps_the_sooner_time() -> None:
    """A deadline moves later at no cost: the entry is called at the old time and decides for itself."""

    async def main() -> Entry:
        wheel, entry = TimerWheel(), Entry()
        begin = asyncio.get_running_loop().time()
        wheel.file(entry, begin + 5.0)
        wheel.file(entry, begin + 9.0)
        wheel.file(entry, begin + 2.0)
        await asyncio.sleep(20)
        entry.times = [time - begin for time in entry.times]
        return entry

    entry = run_with_virtual_clock(main())
    assert [round(time) for time in entry.times] == [2]


def test_a_discarded_entry_is_not_called_and_no_timer_is_left() -> None:
    """When the last entry goes, so does the loop's timer."""

    async def main() -> Entry:
        wheel, entry = TimerWheel(), Entry()
        wheel.file(entry, asyncio.get_running_loop().time() + 1.0)
        wheel.discard(entry)
        wheel.discard(entry)
        assert (len(wheel), wheel._timer) == (0, None)
        await asyncio.sleep(5)
        return entry

    assert run_with_virtual_clock(main()).times == []


def test_one_entry_s_fault_stops_no_other() -> None:
    """It is handed to the loop's exception handler, and the entry is looked at again: it may be a passing fault."""
    reported: list[dict[str, object]] = []

    class Faulty(Entry):
        def on_time(self, now: float) -> float | None:
            raise ValueError("fault")

    async def main() -> Entry:
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(lambda _, context: reported.append(context))
        wheel, entry = TimerWheel(), Entry()
        wheel.file(Faulty(), loop.time() + 1.0)
        wheel.file(entry, loop.time() + 1.0)
        await asyncio.sleep(5)
        return entry

    assert len(run_with_virtual_clock(main()).times) == 1
    assert {type(context["exception"]) for context in reported} == {ValueError}
    assert 3 <= len(reported) <= 5


def test_a_moment_that_has_passed_does_not_hold_the_loop() -> None:
    """An entry that always answers with the past is called slot by slot, not for ever in one turn."""

    async def main() -> int:
        wheel, entry = TimerWheel(), Entry(*[-1.0] * 1000)
        wheel.file(entry, asyncio.get_running_loop().time())
        await asyncio.sleep(1)
        wheel.discard(entry)
        return len(entry.times)

    assert 10 < run_with_virtual_clock(main()) <= 1 / RESOLUTION + 2


def test_an_entry_may_discard_another_of_its_slot() -> None:
    """The count of what is filed stays right."""

    class Discarding(Entry):
        def on_time(self, now: float) -> float | None:
            wheel.discard(other)
            return super().on_time(now)

    other = Entry()

    async def main() -> None:
        now = asyncio.get_running_loop().time()
        wheel.file(Discarding(), now + 1)
        wheel.file(other, now + 1)
        await asyncio.sleep(2)

    wheel = TimerWheel()
    run_with_virtual_clock(main())
    assert len(wheel) == 0


def test_a_wheel_belongs_to_its_loop_and_goes_with_it() -> None:
    """Each loop has one, which does not keep the loop alive."""
    loops: list[weakref.ref[asyncio.AbstractEventLoop]] = []

    async def main() -> TimerWheel:
        loops.append(weakref.ref(asyncio.get_running_loop()))
        entry = Entry()
        current_wheel().file(entry, asyncio.get_running_loop().time() + 0.01)
        await asyncio.sleep(0.05)
        assert current_wheel() is current_wheel()
        return current_wheel()

    assert asyncio.run(main()) is not asyncio.run(main())
    gc.collect()
    assert [loop() for loop in loops] == [None, None]
