"""The count of the event loop's turns."""

from __future__ import annotations

import asyncio
import gc
import weakref

import pytest

from unbroken.stream.turns import current_turns

pytestmark = pytest.mark.core


def test_a_turn_keeps_its_number() -> None:
    """All who ask without a wait between them are in the same turn; after one they are in another."""

    async def main() -> None:
        turns = current_turns()
        numbers = []
        for _ in range(3):
            assert turns.number() == turns.number()
            numbers.append(turns.number())
            await asyncio.sleep(0)
        assert len(set(numbers)) == 3

    asyncio.run(main())


def test_turns_in_which_nobody_asks_are_not_counted() -> None:
    """Counting goes on for the turn after a question, and costs nothing for those after it."""

    async def main() -> None:
        turns = current_turns()
        number = turns.number()
        for _ in range(5):
            await asyncio.sleep(0)
        assert turns.number() == number + 1

    asyncio.run(main())


def test_there_is_one_count_for_each_loop_and_it_keeps_none_alive() -> None:
    """All streams of a loop share it, and a loop that is gone is gone."""

    async def main() -> weakref.ref[object]:
        assert current_turns() is current_turns()
        current_turns().number()
        return weakref.ref(asyncio.get_running_loop())

    loops = [asyncio.run(main()), asyncio.run(main())]
    gc.collect()
    assert [loop() for loop in loops] == [None, None]
