"""What can produce a run: a coroutine function that is given the run, or anything that yields events."""

from __future__ import annotations

import inspect
from collections.abc import AsyncIterable, Callable, Sequence
from contextlib import aclosing
from typing import TYPE_CHECKING, Any

from unbroken.errors import ConfigurationError

if TYPE_CHECKING:
    from unbroken.runs.run import Run

__all__ = ["Producer", "check_producer", "produce"]

Producer = Callable[..., Any] | AsyncIterable[Any]


def check_producer(producer: object, args: Sequence[object]) -> None:
    """Refuse what cannot produce a run.

    Raises:
        ConfigurationError: it is neither a function nor an asynchronous iterable, or one that was called already.
    """
    if inspect.iscoroutine(producer):
        producer.close()  # or it would be reported as never awaited, beside the real mistake
        raise ConfigurationError(
            f"the producer is the coroutine {producer.__qualname__}(): give the function, and its arguments behind it"
        )
    if isinstance(producer, AsyncIterable):
        if args:
            raise ConfigurationError("an asynchronous iterable takes no arguments: give the function in its place")
    elif not callable(producer):
        raise ConfigurationError(
            f"the producer is a {type(producer).__name__}: give an async function, an async generator function, or an "
            "asynchronous iterable"
        )


async def produce(run: Run, producer: Producer, args: Sequence[object]) -> None:
    """Run a producer to its end, and send what it yields."""
    made = producer if isinstance(producer, AsyncIterable) else _call(producer, run, args)
    if inspect.isawaitable(made):
        made = await made
    if isinstance(made, AsyncIterable):
        await _send_all(run, made)


def _call(producer: Callable[..., Any], run: Run, args: Sequence[object]) -> Any:
    # A generator that somebody has already knows of no run; one that needs it can be made in a function.
    return producer(*args) if inspect.isasyncgenfunction(producer) else producer(run, *args)


async def _send_all(run: Run, items: AsyncIterable[Any]) -> None:
    if not hasattr(items, "aclose"):
        async for item in items:
            await _send(run, item)
        return
    async with aclosing(items):  # type: ignore[type-var] # it has one
        async for item in items:
            await _send(run, item)


async def _send(run: Run, item: object) -> None:
    if isinstance(item, tuple) and len(item) == 2 and isinstance(item[0], str):
        await run.send(item[1], event=item[0])
    else:
        await run.send(item)
