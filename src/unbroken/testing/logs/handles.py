"""What a test of a log stands on: opened handles of one place, and a listener that remembers."""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Collection, Sequence
from dataclasses import dataclass
from typing import TypeVar

from unbroken.logs.contract import Draft, Entry, Log
from unbroken.testing.waiting import Changes, DeadlineError

__all__ = ["Contract", "Handle", "Handles", "Recorder", "drafts", "everything", "scenario"]

DEADLINE = 20.0
"""Seconds for a whole test. Nothing in it takes one."""

HINT_DEADLINE = 5.0
"""Seconds for a hint to come."""


class Recorder:
    """A listener that remembers what it was told."""

    def __init__(self) -> None:
        self.told: list[tuple[str, str, tuple[Entry, ...], bool]] = []
        self.doubts: list[Collection[str] | None] = []
        self.troubles: list[str | None] = []
        self._changes = Changes()

    def on_entries(self, topic: str, epoch: str, entries: Sequence[Entry], closed: bool) -> None:
        """Remember it."""
        self.told.append((topic, epoch, tuple(entries), closed))
        self._changes.notify()

    def on_doubt(self, topics: Collection[str] | None) -> None:
        """Remember it."""
        self.doubts.append(topics)
        self._changes.notify()

    def on_trouble(self, why: str | None) -> None:
        """Remember it."""
        self.troubles.append(why)
        self._changes.notify()

    def entries(self, topic: str) -> dict[int, Entry]:
        """Return what was told of a topic, by `seq`: a hint may come twice, and out of order."""
        return {entry.seq: entry for name, _, entries, _ in self.told if name == topic for entry in entries}

    def closed(self, topic: str) -> bool:
        """Say whether the topic's end was told."""
        return any(closed for name, _, _, closed in self.told if name == topic)

    async def until(self, condition: Callable[[], bool], awaited: str) -> None:
        """Wait for a hint that makes the condition true.

        Raises:
            DeadlineError: none did in time.
        """
        if not await self._changes.until_deadline(condition, HINT_DEADLINE):
            seen = f"{len(self.told)} hints and {len(self.doubts)} doubts came"
            raise DeadlineError(f"the listener was not told of {awaited} within {HINT_DEADLINE} s; {seen}")


@dataclass(frozen=True, slots=True)
class Handle:
    """A log that was started, and what its listener was told."""

    log: Log
    listener: Recorder


class Handles:
    """The handles that one test has opened."""

    def __init__(self, make_log: Callable[[], Log]) -> None:
        self._make_log = make_log
        self._opened: list[Log] = []

    async def open(self) -> Handle:
        """Make a log and start it; it is stopped when the test ends."""
        log, listener = self._make_log(), Recorder()
        await log.start(listener)
        self._opened.append(log)
        return Handle(log, listener)

    async def open_all(self) -> list[Handle]:
        """Open two handles of the place, where it can be shared; one where not."""
        first = await self.open()
        return [first, await self.open()] if first.log.guarantees.shared else [first]

    async def close(self, handle: Handle) -> None:
        """Stop one now."""
        self._opened.remove(handle.log)
        await handle.log.stop()

    async def close_all(self) -> None:
        """Stop what is still open."""
        while self._opened:
            await self._opened.pop().stop()


class Contract(ABC):
    """What the tests ask of the class that inherits them."""

    @abstractmethod
    def make_log(self) -> Log:
        """Return a log that was not started, of a place that is this test's own and empty at its beginning.

        pytest makes an instance for each test: a fixture of the class may prepare the place. Called again within the
        same test it returns another handle of the same place, if the log's guarantees say that it is shared.
        """


C = TypeVar("C", bound=Contract)


def scenario(test: Callable[[C, Handles], Awaitable[None]]) -> Callable[[C], None]:
    """Make a plain test of a coroutine function: a loop of its own, a deadline, and every handle stopped at the end."""

    def run(self: C) -> None:
        asyncio.run(_run(test, self))

    # Not functools.wraps: pytest would look through it, and take `handles` for a fixture.
    run.__name__, run.__doc__, run.__module__ = test.__name__, test.__doc__, test.__module__
    run.__qualname__ = test.__qualname__
    return run


async def _run(test: Callable[[C, Handles], Awaitable[None]], contract: C) -> None:
    handles = Handles(contract.make_log)
    try:
        async with asyncio.timeout(DEADLINE):
            await test(contract, handles)
    except TimeoutError:
        raise DeadlineError(f"the test took more than {DEADLINE} s") from None
    finally:
        await handles.close_all()


def drafts(*payloads: bytes) -> list[Draft]:
    """Return a batch."""
    return [Draft(payload) for payload in payloads]


async def everything(log: Log, topic: str) -> list[Entry]:
    """Read all that is retained, page by page."""
    entries, after = list[Entry](), 0
    while page := (await log.read(topic, after, 100)).entries:
        assert page[0].seq > after, "a page begins before its cursor"
        entries += page
        after = page[-1].seq
    return entries
