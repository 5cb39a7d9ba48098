from __future__ import annotations

import asyncio

import pytest

from unbroken.testing import run_with_virtual_clock
from unbroken.testing.waiting import Changes, where_suspended

pytestmark = pytest.mark.core


def test_what_comes_in_the_very_turn_of_the_deadline_has_come() -> None:
    """A condition that comes true together with the deadline is not reported as missing."""

    async def main() -> bool:
        changes, came = Changes(), list[str]()

        def come() -> None:
            came.append("it")
            changes.notify()

        asyncio.get_running_loop().call_later(1, come)
        return await changes.until_deadline(lambda: bool(came), 1)

    assert run_with_virtual_clock(main())


def test_a_condition_that_does_not_come_is_missing() -> None:
    """After the deadline the answer is no, and nobody waits any more."""

    async def main() -> None:
        changes = Changes()
        assert not await changes.until_deadline(lambda: False, 3600)
        assert not changes._waiters

    run_with_virtual_clock(main())


def test_a_timeout_of_the_condition_itself_is_not_the_deadline() -> None:
    """What the condition raises reaches the test, a TimeoutError too."""

    def raising() -> bool:
        raise TimeoutError("of the condition")

    async def main() -> None:
        await Changes().until_deadline(raising, 3600)

    with pytest.raises(TimeoutError, match="of the condition"):
        run_with_virtual_clock(main())


def test_the_place_where_a_task_waits_is_found() -> None:
    """Every call down to the innermost is named; a task that is done is nowhere."""

    async def outer() -> None:
        await inner()

    async def inner() -> None:
        await asyncio.sleep(1)

    async def main() -> tuple[str, str]:
        task = asyncio.create_task(outer())
        await asyncio.sleep(0.5)
        waiting = where_suspended(task)
        await task
        return waiting, where_suspended(task)

    waiting, done = run_with_virtual_clock(main())
    assert [place.split()[0].rpartition(".")[2] for place in waiting.split(" > ")] == ["outer", "inner", "sleep"]
    assert done == "an unknown place"
