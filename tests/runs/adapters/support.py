"""What the tests of the adapters share: the recordings, the real clients, and reading to an end or an error."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Coroutine
from pathlib import Path
from typing import Any, TypeVar

import pytest

from tests.docs.model_server import ModelServer
from unbroken.runs.adapters import Part
from unbroken.testing import RecordedStream

__all__ = ["TEXT", "anthropic_client", "openai_client", "outcome", "recorded", "run", "stopped", "texts"]

T = TypeVar("T")

HERE = Path(__file__).resolve().parent
RECORDINGS = (HERE / "recordings", HERE.parents[1] / "client" / "recordings")

TEXT = "A stream that ends\nwithout saying so is “broken” 🌊."
"""What the recordings of whole answers say."""


def recorded(name: str) -> RecordedStream:
    """Return a recording."""
    return RecordedStream.load(next(path for place in RECORDINGS if (path := place / f"{name}.sse").exists()))


def openai_client(server: ModelServer) -> Any:
    """Return OpenAI's client, of that server."""
    openai = pytest.importorskip("openai")
    return openai.AsyncOpenAI(api_key="a-key", base_url=server.url, max_retries=0)


def anthropic_client(server: ModelServer) -> Any:
    """Return Anthropic's client, of that server."""
    anthropic = pytest.importorskip("anthropic")
    return anthropic.AsyncAnthropic(api_key="a-key", base_url=server.url, max_retries=0)


def run(main: Coroutine[Any, Any, T]) -> T:
    """Run under a deadline."""

    async def within() -> T:
        async with asyncio.timeout(20):
            return await main

    return asyncio.run(within())


async def outcome(parts: AsyncGenerator[Part, None]) -> tuple[list[Part], Exception | None]:
    """Return the parts that came, and the error behind them, if there was one."""
    came: list[Part] = []
    try:
        async for part in parts:
            came.append(part)  # noqa: PERF401 - what came before an error counts
    except Exception as error:
        return came, error
    return came, None


def texts(parts: list[Part], event: str = "text") -> str:
    """Return the text of the parts of a type."""
    return "".join(data for name, data in parts if name == event)


async def stopped(make: Callable[[], AsyncGenerator[Part, None]], server: ModelServer, how: str) -> list[Part]:
    """Read the first text, stop by `cancel` or `aclose` in mid-answer, and return once the server has been left."""
    parts, came = make(), list[Part]()
    begun = asyncio.Event()

    async def read() -> None:
        async for part in parts:
            came.append(part)
            if part[0] == "text":
                begun.set()
                if how == "aclose":
                    break
        await parts.aclose()

    reading = asyncio.create_task(read())
    await begun.wait()
    if how == "cancel":
        assert not server.left.is_set()
        reading.cancel()
    await asyncio.wait([reading])
    assert reading.cancelled() is (how == "cancel")
    await server.left.wait()
    return came
