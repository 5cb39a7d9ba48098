"""The stream that an adapter reads: opened within the run, and closed with it."""

from __future__ import annotations

import inspect
import reprlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Protocol

from unbroken.errors import ConfigurationError, StreamTruncated
from unbroken.runs.adapters.parts import Part

__all__ = ["Answer", "opened", "rest_of"]


class Answer(Protocol):
    """What is known of an answer so far."""

    @property
    def whole(self) -> bool:
        """Whether its end has come."""
        ...

    def read(self, item: Any) -> list[Part]:
        """Return what an item of the library's stream says."""
        ...

    def end(self) -> list[Part]:
        """Return what is left to be said of a whole answer."""
        ...


def rest_of(answer: Answer) -> list[Part]:
    """Return what is left to be said of an answer whose stream has ended.

    Raises:
        StreamTruncated: the answer has not ended.
    """
    if not answer.whole:
        # The libraries take the end of a body for the end of an answer.
        raise StreamTruncated("the model's stream ended before its answer did: show what came as incomplete")
    return answer.end()


@asynccontextmanager
async def opened(source: Any) -> AsyncIterator[Any]:
    """Give what `source` is, returns or resolves to, to be iterated; close it in the end, however that comes.

    Closing is what stops a model: an iterator that is merely let go of waits for the garbage collector, and is paid for
    meanwhile.
    """
    stream = await _found(source)
    if hasattr(stream, "__aenter__") and not hasattr(stream, "__aiter__"):
        async with stream as entered:
            yield entered
        return
    if not hasattr(stream, "__aiter__"):
        raise ConfigurationError(
            f"{reprlib.repr(stream)} is no asynchronous stream: give that of an asynchronous client (AsyncOpenAI, "
            "AsyncAnthropic), with stream=True, or a function that returns it; from_iterable() reads synchronous ones"
        )
    try:
        yield stream
    finally:
        await close(stream)


async def _found(source: Any) -> Any:
    if callable(source) and not hasattr(source, "__aiter__"):
        source = source()
    return await source if inspect.isawaitable(source) else source


async def close(stream: Any) -> None:
    """Close a stream, by whichever name its library has for that."""
    closing = getattr(stream, "aclose", None) or getattr(stream, "close", None)
    if closing is not None and inspect.isawaitable(closed := closing()):
        await closed
