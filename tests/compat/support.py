"""What the side-by-side tests share: one driver for both libraries."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import AsyncIterator, Iterable
from typing import Any

from unbroken.testing import DrivenStream, open_stream

Parameters = list[tuple[str, Any, Any]]


async def items(*values: object) -> AsyncIterator[Any]:
    """Yield the values, with a turn of the loop after each; raise those that are exceptions."""
    for value in values:
        if isinstance(value, BaseException):
            raise value
        yield value
        await asyncio.sleep(0)


def read(app: Any, path: str = "/", **options: Any) -> DrivenStream:
    """Run a stream that ends by itself, and return what was seen of it."""

    async def main() -> DrivenStream:
        async with open_stream(app, path, raise_app_errors=False, **options) as stream:
            await stream.until_end()
            await stream.wait_closed()
        return stream

    return asyncio.run(main())


def outcome(stream: DrivenStream) -> tuple[Any, ...]:
    """Return what of a stream has to be alike."""
    return stream.status, without(stream.headers, "connection"), stream.received, stream.ended, stream.error


def without(headers: dict[str, str], name: str) -> dict[str, str]:
    """Return the headers but one."""
    return {key: value for key, value in headers.items() if key != name}


async def received_within(app: Any, seconds: float) -> bytes:
    """Return what a client has received after so many seconds."""
    async with open_stream(app, wait_for_start=False, timeout=1000) as stream:
        await asyncio.sleep(seconds)
        return stream.received


def parameters(function: Any) -> Parameters:
    """Return what a caller can see of a signature: order, names, kinds and defaults."""
    return [(p.name, p.kind, p.default) for p in inspect.signature(function).parameters.values()]


def public_names(module: Any) -> Iterable[str]:
    """Return the functions and classes that a module defines itself, without those that begin with an underscore."""
    return [
        name
        for name, value in vars(module).items()
        if not name.startswith("_") and getattr(value, "__module__", None) == module.__name__
    ]


async def silent() -> AsyncIterator[str]:
    """Say one thing, and then nothing for ever."""
    yield "x"
    await asyncio.Event().wait()


class Heard:
    """A generator's end, as it saw it."""

    def __init__(self) -> None:
        self.error: BaseException | None = None
        self.cleaned = False

    async def busy(self) -> AsyncIterator[str]:
        """Speak for ever without an await."""
        try:
            while True:
                yield "x"
        except BaseException as exc:
            self.error = exc
            raise
        finally:
            await asyncio.sleep(0)
            self.cleaned = True

    async def waiting(self) -> AsyncIterator[str]:
        """Say one thing and wait for ever."""
        try:
            yield "x"
            await asyncio.Event().wait()
        except BaseException as exc:
            self.error = exc
            raise
        finally:
            await asyncio.sleep(0)
            self.cleaned = True


async def leave_after_one(app: Any) -> None:
    """Read one event, leave, and wait for the application's end."""
    async with open_stream(app) as stream:
        await stream.next_event()
        await stream.disconnect()
        await stream.wait_closed()
