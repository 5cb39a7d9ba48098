"""Any iterable, the synchronous ones in a thread."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterable, Callable, Iterable
from typing import Any, TypeVar

from unbroken.errors import ConfigurationError
from unbroken.runs.adapters.source import opened
from unbroken.stream.threads import in_daemon_thread

__all__ = ["from_iterable"]

T = TypeVar("T")

_END: Any = object()


async def from_iterable(
    source: AsyncIterable[T] | Iterable[T] | Callable[[], AsyncIterable[T] | Iterable[T]],
) -> AsyncGenerator[T, None]:
    """Yield what an iterable does, for a run to send.

        run = await runs.start(from_iterable, lambda: words(prompt))

    Each step of a synchronous one is made in a thread, so it may block: a generator around a synchronous client, for
    one. A function is called in a thread too, so it may make the request. What it returns is closed in the end, as soon
    as the step that it is in is made. Each has a thread for as long as it goes on; how many go on at once is for
    whoever starts them to bound.

    Args:
        source: An asynchronous or synchronous iterable, or a function without arguments that returns one. Where `start`
            may find a run that is there (`id=`, `group=`), give a function: nobody would close an open stream.

    Raises:
        ConfigurationError: it cannot be iterated.
        Exception: whatever it raises.
    """
    found: Any = await _step(source) if callable(source) and not _iterates(source) else source
    if not _iterates(found):
        raise ConfigurationError(f"{found!r} cannot be iterated: give a generator, or a function that returns one")
    if hasattr(found, "__aiter__"):
        async with opened(found) as items:
            async for item in items:
                yield item
        return
    iterator: Any = None
    try:
        iterator = await _step(iter, found)
        while (item := await _step(next, iterator, _END)) is not _END:
            yield item
    finally:
        # A client's stream is closed by itself, and not by the generator that it gives to be iterated.
        for it in (iterator, found) if iterator is not found else (found,):
            if hasattr(it, "close"):
                await in_daemon_thread(it.close)


def _iterates(source: object) -> bool:
    return hasattr(source, "__aiter__") or hasattr(source, "__iter__")


async def _step(function: Callable[..., Any], *arguments: object) -> Any:
    step = in_daemon_thread(function, *arguments)
    try:
        return await asyncio.shield(step)
    except asyncio.CancelledError:
        # A generator that is in the middle of a step cannot be closed.
        await asyncio.wait([step])
        step.exception()  # looked at, or the loop would complain of it
        raise
