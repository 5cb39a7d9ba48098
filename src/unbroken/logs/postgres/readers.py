"""The connections that read, and trim."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, TypeVar

from unbroken.errors import LogError, LogUnavailable
from unbroken.logs.postgres.driver import Conflict, Connection, Lost
from unbroken.logs.postgres.place import Place
from unbroken.logs.postgres.session import Session

__all__ = ["Readers"]

T = TypeVar("T")

CONNECTIONS = 2


@dataclass(frozen=True, slots=True)
class _Question:
    work: Callable[[Connection], Awaitable[Any]]
    future: asyncio.Future[Any]


class Readers:
    """A few tasks with a connection each, opened when needed. What one is asked goes on when the asker leaves."""

    def __init__(self, place: Place) -> None:
        self._place = place
        self._loop = asyncio.get_running_loop()
        # No bound of its own: whatever waits here is a caller that waits.
        self._questions: deque[_Question] = deque()
        self._asked = asyncio.Semaphore(0)
        self._tasks = [
            self._loop.create_task(self._work(), name="unbroken postgres reader") for _ in range(CONNECTIONS)
        ]

    def ask(self, work: Callable[[Connection], Awaitable[T]]) -> asyncio.Future[T]:
        """Have `work` done on a connection, again if that breaks: it must bear to be done twice."""
        future: asyncio.Future[T] = self._loop.create_future()
        self._questions.append(_Question(work, future))
        self._asked.release()
        return future

    async def stop(self) -> None:
        """Close all."""
        for task in self._tasks:
            task.cancel()
        await asyncio.wait(self._tasks)
        while self._questions:
            _fail(self._questions.popleft().future, LogUnavailable(f"{self._place} was closed"))

    async def _work(self) -> None:
        session = Session(self._place)
        question = None
        try:
            while True:
                await self._asked.acquire()
                question = self._questions.popleft()
                if not question.future.done():
                    await self._answer(session, question)
        finally:
            if question is not None:
                _fail(question.future, LogUnavailable(f"{self._place} was closed"))
            session.terminate()

    async def _answer(self, session: Session, question: _Question) -> None:
        try:
            try:
                result = await session.run(question.work, self._place.timeout / 2)
            except (Lost, Conflict):
                result = await session.run(question.work, self._place.timeout / 2)
        except LogError as exc:
            _fail(question.future, exc)
        except Exception as exc:  # noqa: BLE001 # whatever it is, who waits is told
            _fail(question.future, LogUnavailable(f"{self._place} cannot be read: {exc!r}"))
        else:
            if not question.future.done():
                question.future.set_result(result)


def _fail(future: asyncio.Future[Any], error: Exception) -> None:
    if not future.done():
        future.set_exception(error)
