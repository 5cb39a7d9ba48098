"""What can produce a run: a coroutine function that is given the run, or anything that yields events."""

from __future__ import annotations

import inspect
from collections.abc import AsyncIterable, Callable, Sequence
from contextlib import aclosing
from typing import TYPE_CHECKING, Any

from unbroken.errors import ConfigurationError
from unbroken.observe import logger

if TYPE_CHECKING:
    from unbroken.runs.run import Run

__all__ = ["Producer", "check_call", "check_producer", "produce"]

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
    if inspect.isgeneratorfunction(producer):
        raise ConfigurationError(
            f"the producer {_name(producer)} is a generator function without async: give from_iterable, of "
            "unbroken.runs.adapters, which reads it in a thread, and a function that calls it"
        )
    if isinstance(producer, AsyncIterable):
        if args:
            raise ConfigurationError("an asynchronous iterable takes no arguments: give the function in its place")
    elif not callable(producer):
        raise ConfigurationError(
            f"the producer is a {type(producer).__name__}: give an async function, an async generator function, or an "
            "asynchronous iterable"
        )


def check_call(producer: Producer, args: Sequence[object]) -> None:
    """Refuse arguments with which a producer cannot be called: in the run, only the log would be told.

    Raises:
        ConfigurationError: they are too few, or too many.
    """
    if isinstance(producer, AsyncIterable):
        return
    takes_run = not inspect.isasyncgenfunction(producer)
    try:
        signature = inspect.signature(producer, follow_wrapped=False)  # a decorator may give some of them
    except (TypeError, ValueError):  # it does not tell
        return
    try:
        signature.bind(*((None, *args) if takes_run else args))
    except TypeError as exc:
        how = "the run and its arguments" if takes_run else "its arguments alone, being an async generator function"
        raise ConfigurationError(
            f"the producer {_name(producer)} cannot be called: {exc}. It is given {how}, here {len(args)}"
        ) from None


def _name(producer: object) -> str:
    return getattr(producer, "__qualname__", None) or repr(producer)


async def produce(run: Run, producer: Producer, args: Sequence[object]) -> None:
    """Run a producer to its end, and send what it yields."""
    made = producer if isinstance(producer, AsyncIterable) else _call(producer, run, args)
    if inspect.isawaitable(made):
        made = await made
    if isinstance(made, AsyncIterable):
        await _send_all(run, made)
    elif made is not None:
        # Not taken for a result: that is told to all readers, and what is returned by the way may be a row of users.
        logger.warning(
            "the producer of run %r returned a %s, which is for nobody: send it, or run.finish(result)",
            run.id,
            type(made).__name__,
        )


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
