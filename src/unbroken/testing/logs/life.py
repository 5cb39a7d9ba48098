"""From start to stop, and what is there after it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from unbroken.errors import Fenced, LogUnavailable, TopicClosed
from unbroken.logs.contract import Log, Retention
from unbroken.testing.logs.handles import Contract, Handles, drafts, everything, scenario

__all__ = ["LifeContract"]

_CALLS: tuple[Callable[[Log], Awaitable[object]], ...] = (
    lambda log: log.append("t", drafts(b"x")),
    lambda log: log.read("t", 0, 10),
    lambda log: log.head("t"),
    lambda log: log.trim("t", Retention()),
    lambda log: log.topics(),
    lambda log: log.watch("t"),
)


class LifeContract(Contract):
    """What comes before `start`, with `stop`, and after it."""

    @scenario
    async def test_a_log_that_was_not_started_refuses(self, handles: Handles) -> None:
        """Before `start` every call raises `LogUnavailable`."""
        await _check_refuses(self.make_log())

    @scenario
    async def test_a_stopped_log_refuses(self, handles: Handles) -> None:
        """After `stop` every call raises `LogUnavailable`, at once."""
        handle = await handles.open()
        await handle.log.append("t", drafts(b"x"))
        await handles.close(handle)
        await _check_refuses(handle.log)

    @scenario
    async def test_stop_finishes_what_was_begun(self, handles: Handles) -> None:
        """Each append that was begun before `stop` returns or raises `LogUnavailable`; none is left hanging."""
        handle = await handles.open()
        begun = [asyncio.create_task(_append(handle.log)) for _ in range(50)]
        await asyncio.sleep(0)
        await handles.close(handle)
        done, pending = await asyncio.wait(begun, timeout=5)
        assert not pending
        assert {type(task.exception()) for task in done} <= {type(None), LogUnavailable}

    @scenario
    async def test_what_was_acknowledged_is_kept(self, handles: Handles) -> None:
        """Where the log says that it survives the process: all of a topic is there for the next one."""
        first = await handles.open()
        if not first.log.guarantees.survives_process:
            return
        appended = await first.log.append("t", drafts(b"1", b"2"), key="k", fence=5)
        await first.log.append("closed", drafts(b"1"), close=True)
        await handles.close(first)
        log = (await handles.open()).log
        assert tuple(await everything(log, "t")) == appended.entries
        assert (await log.head("t")).position == appended.position
        assert (await log.append("t", drafts(b"x"), key="k")).position == appended.position
        assert [await _error(log, "t", 4), await _error(log, "closed", None)] == [Fenced, TopicClosed]


async def _check_refuses(log: Log) -> None:
    for call in _CALLS:
        try:
            await call(log)
        except LogUnavailable:
            continue
        raise AssertionError("the log is not open, and took a call")


async def _append(log: Log) -> None:
    await log.append("t", drafts(b"x"))


async def _error(log: Log, topic: str, fence: int | None) -> type[Exception] | None:
    try:
        await log.append(topic, drafts(b"x"), fence=fence)
    except (Fenced, TopicClosed) as error:
        return type(error)
    return None
