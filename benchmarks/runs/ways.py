"""The ways of a token to its reader: through a run, through what else Python has for that, and straight."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import Any

from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

__all__ = ["LOGS", "WAYS", "Source", "Way"]

Source = Callable[[Callable[[str], Any]], AsyncIterator[Any]]
"""Makes the tokens of one stream, given the form that they are to have."""

Respond = Callable[[Request, str, Source], Awaitable[Response]]
"""Answers a request for the stream of a name."""

COALESCE = 0.1

LOGS = ("memory", "sqlite", "valkey", "postgres", "nats")


def _text(token: str) -> str:
    return token


def _frame(token: str) -> str:
    return f"data: {token}\n\n"


def _run(coalesce: float) -> Callable[[str], AbstractAsyncContextManager[Respond]]:
    @asynccontextmanager
    async def opened(url: str) -> AsyncIterator[Respond]:
        from unbroken import Hub
        from unbroken.runs import Runs

        async with Runs(Hub(url)) as runs:

            async def respond(request: Request, name: str, source: Source) -> Response:
                run = await runs.start(source(_text), id=name, coalesce=coalesce)
                return run.response(request)

            yield respond

    return opened


@asynccontextmanager
async def _resumable_stream(url: str) -> AsyncIterator[Respond]:
    from resumable_stream import create_resumable_stream_context
    from resumable_stream.redis_adapter import RedisPublisher, RedisSubscriber

    publisher, subscriber = RedisPublisher(url), RedisSubscriber(url)
    # Connected here: given a URL it connects in the background, and a request that is quicker fails.
    await publisher.connect()
    await subscriber.connect()
    context = create_resumable_stream_context(publisher=publisher, subscriber=subscriber)

    async def respond(request: Request, name: str, source: Source) -> Response:
        stream = await context.resumable_stream(name, lambda: source(_frame))
        assert stream is not None
        return StreamingResponse(stream, media_type="text/event-stream")

    yield respond
    await subscriber.close()
    await publisher.close()


@asynccontextmanager
async def _fastapi_resumable_stream(url: str) -> AsyncIterator[Respond]:
    from fastapi_resumable_stream import (
        ActiveStreamRegistry,
        ResumableStream,
        StopController,
        start_conversation_stream,
    )
    from redis.asyncio import Redis

    # Each reader holds a connection, and redis-py's own bound of 100 is reached by 100 of them.
    async with Redis.from_url(url, max_connections=1000) as redis:
        stream, registry, stop = ResumableStream(redis), ActiveStreamRegistry(redis), StopController(redis)

        async def respond(request: Request, name: str, source: Source) -> Response:
            response: Response = await start_conversation_stream(
                stream, registry, stop, name, name, lambda: source(_frame)
            )
            return response

        yield respond
        await stream.close()


@asynccontextmanager
async def _straight(_: str) -> AsyncIterator[Respond]:
    from unbroken import EventSourceResponse

    async def respond(request: Request, name: str, source: Source) -> Response:
        return EventSourceResponse(source(_text))

    yield respond


@asynccontextmanager
async def _sse_starlette(_: str) -> AsyncIterator[Respond]:
    from sse_starlette import EventSourceResponse

    async def respond(request: Request, name: str, source: Source) -> Response:
        return EventSourceResponse(source(lambda token: {"data": token}))

    yield respond


@dataclass(frozen=True, slots=True)
class Way:
    """One way; `opened` is given the engine's URL."""

    opened: Callable[[str], AbstractAsyncContextManager[Respond]]
    engines: tuple[str, ...]
    needs: tuple[str, ...] = ()
    # The reader that is measured came back: the one who began the stream has left.
    comes_back: bool = False
    # What a stream that ended well has at its end.
    end: bytes = field(default=b"", repr=False)


_RUN = Way(_run(0.0), LOGS, end=b'"status":"done"')
_RESUMABLE = Way(_resumable_stream, ("valkey",), ("resumable_stream",))

WAYS: dict[str, Way] = {
    "unbroken": Way(_straight, ("none",)),
    "sse-starlette": Way(_sse_starlette, ("none",), ("sse_starlette",)),
    "run": _RUN,
    "run, coalesced": replace(_RUN, opened=_run(COALESCE)),
    "resumable-stream": _RESUMABLE,
    "resumable-stream, come back": replace(_RESUMABLE, comes_back=True),
    "fastapi-resumable-stream": Way(_fastapi_resumable_stream, ("valkey",), ("fastapi_resumable_stream",)),
}
"""By name."""
