"""Generators as they are, the synchronous ones in a thread."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest

from tests.runs.adapters.support import run
from unbroken.errors import ConfigurationError
from unbroken.runs.adapters import from_iterable


def words() -> Iterator[str]:
    """Three words."""
    yield from ("a", "stream", "ends")


async def async_words() -> AsyncIterator[str]:
    """The same."""
    for word in words():
        yield word


@pytest.mark.parametrize(
    "source",
    [words, async_words, words(), ["a", "stream", "ends"]],
    ids=["function", "async-function", "generator", "list"],
)
def test_an_iterable_gives_what_it_has(source: Any) -> None:
    """Whichever kind it is of."""

    async def main() -> list[object]:
        return [word async for word in from_iterable(source)]

    assert run(main()) == ["a", "stream", "ends"]


def test_a_generator_that_blocks_does_not_hold_the_loop() -> None:
    """It goes on when the loop, which is free meanwhile, lets it."""
    gate = threading.Event()

    def blocking() -> Iterator[str]:
        yield "before"
        assert gate.wait(10)
        yield "after"

    async def main() -> list[str]:
        asyncio.get_running_loop().call_later(0.01, gate.set)
        return [word async for word in from_iterable(blocking)]

    assert run(main()) == ["before", "after"]


def test_a_generators_error_is_its_own() -> None:
    """Behind what came before it."""

    def failing() -> Iterator[str]:
        yield "before"
        raise LookupError("no more words")

    async def main() -> list[str]:
        came = []
        with pytest.raises(LookupError, match="no more words"):
            async for word in from_iterable(failing):
                came.append(word)  # noqa: PERF401 - what came before the error counts
        return came

    assert run(main()) == ["before"]


@pytest.mark.parametrize("how", ["cancel", "aclose"])
def test_a_generator_is_closed(how: str) -> None:
    """As soon as the step that it is in has been made: its cleanup runs before the run is over."""
    entered, gate, closed = threading.Event(), threading.Event(), threading.Event()

    def blocking() -> Iterator[str]:
        try:
            yield "before"
            entered.set()
            assert gate.wait(10)
            yield "after"
        finally:
            closed.set()

    async def main() -> None:
        items = from_iterable(blocking)
        assert await anext(items) == "before"
        if how == "cancel":
            step = asyncio.ensure_future(anext(items))
            await asyncio.to_thread(entered.wait, 10)
            step.cancel()
            asyncio.get_running_loop().call_later(0.01, gate.set)
            with pytest.raises(asyncio.CancelledError):
                await step
        await items.aclose()
        assert closed.is_set()

    run(main())


def test_a_clients_own_stream_is_closed() -> None:
    """One that gives a generator to be iterated, and has a `close` by which the request ends."""
    closed = []

    class Stream:
        def __iter__(self) -> Iterator[str]:
            yield from words()

        def close(self) -> None:
            closed.append(self)

    async def main() -> None:
        items = from_iterable(lambda: stream)
        assert await anext(items) == "a"
        await items.aclose()

    stream = Stream()
    run(main())
    assert closed == [stream]


def test_the_request_is_made_in_a_thread() -> None:
    """A synchronous client waits for the answer's headers."""
    gate = threading.Event()

    def asked() -> Iterator[str]:
        assert gate.wait(10)
        return words()

    async def main() -> list[str]:
        asyncio.get_running_loop().call_later(0.01, gate.set)
        return [word async for word in from_iterable(asked)]

    assert run(main()) == ["a", "stream", "ends"]


def test_what_cannot_be_iterated_is_refused() -> None:
    """With what it is."""

    async def main() -> None:
        with pytest.raises(ConfigurationError, match="3 cannot be iterated"):
            await anext(from_iterable(3))  # type: ignore[arg-type]

    run(main())
