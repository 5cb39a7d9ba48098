"""Asking again, while a stream is open, whether its client may still read it."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Awaitable, Callable
from contextvars import copy_context

from starlette.requests import HTTPConnection

from unbroken.errors import CloseReason
from unbroken.observe import logger
from unbroken.stream.exchange import Exchange
from unbroken.stream.wheel import current_wheel

__all__ = ["Revalidate", "Revalidation"]

Revalidate = Callable[[HTTPConnection], Awaitable[bool] | bool]


class Revalidation:
    """Asks every `interval` seconds, and ends the stream with `revoked` when the answer is no.

    A question that raises, or is not answered within the interval, is logged and asked again:
    a database that is away for a moment must not send every client away. Whoever wants it
    the other way catches the exception and returns False. One that does not end when it is cancelled is waited
    for: there is never more than one under way.
    """

    __slots__ = ("_connection", "_context", "_exchange", "_interval", "_question", "_task", "slot")

    def __init__(self, question: Revalidate, interval: float, connection: HTTPConnection, exchange: Exchange) -> None:
        self._question = question
        self._interval = interval
        self._connection = connection
        self._exchange = exchange
        # The wheel turns in the context of whoever set it going, and so would ask as another client.
        self._context = copy_context()
        self._task: asyncio.Task[None] | None = None
        self.slot: int | None = None

    def begin(self) -> None:
        """Ask for the first time when an interval has passed: the request itself was authorised."""
        current_wheel().file(self, asyncio.get_running_loop().time() + self._interval)

    def stop(self) -> None:
        """Ask no more."""
        current_wheel().discard(self)
        if self._task is not None:
            self._task.cancel()

    def on_time(self, now: float) -> float | None:
        """Ask, in a task of its own, which sees to the next time; called by the wheel."""
        if self._exchange.reason is None:
            self._task = asyncio.get_running_loop().create_task(
                self._ask(now), name="unbroken revalidation", context=self._context
            )
        return None

    async def _ask(self, now: float) -> None:
        try:
            async with asyncio.timeout(self._interval):
                answer = self._question(self._connection)
                may_read = await answer if inspect.isawaitable(answer) else answer
        except Exception:  # noqa: BLE001 - whatever it is, it is no answer
            logger.exception("revalidate of a stream failed; the stream goes on, and is asked again")
        else:
            if not may_read:
                self._exchange.close(CloseReason.REVOKED)
        finally:
            if self._exchange.reason is None:
                current_wheel().file(self, now + self._interval)
