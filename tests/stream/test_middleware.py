"""Streams inside applications, under the middlewares people have."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
import starlette
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.base import BaseHTTPMiddleware
from starlette.middleware.gzip import GZipMiddleware
from starlette.requests import Request
from starlette.routing import Route

from unbroken import CloseReason, EventSourceResponse, while_connected
from unbroken.observe import StreamRecord
from unbroken.testing import StreamEnd, open_stream

pytestmark = pytest.mark.core

RELEASE = tuple(int(part) for part in starlette.__version__.split(".")[:2])


class Pass(BaseHTTPMiddleware):
    """The middleware that `@app.middleware("http")` makes."""

    async def dispatch(self, request: Request, call_next: Any) -> Any:
        return await call_next(request)


def application(generator: Any, *middleware: Middleware, **options: Any) -> tuple[Starlette, list[StreamRecord]]:
    """Return an application with one streaming route, and where its records go."""
    records: list[StreamRecord] = []

    async def endpoint(request: Request) -> EventSourceResponse:
        return EventSourceResponse(generator(), on_close=records.append, **options)

    return Starlette(routes=[Route("/", endpoint)], middleware=list(middleware)), records


async def ticking() -> AsyncIterator[str]:
    """Yield for ever, with awaits."""
    while True:
        yield "x"
        await asyncio.sleep(0.01)


@pytest.mark.skipif(RELEASE < (0, 15), reason="BaseHTTPMiddleware takes the disconnect for itself before 0.15")
@pytest.mark.parametrize("middleware", [(), (Middleware(Pass),), (Middleware(Pass), Middleware(Pass))])
def test_the_disconnect_arrives_under_base_http_middleware(middleware: tuple[Middleware, ...]) -> None:
    """However many of them lie around the route, the generator gets its exception and can clean up."""
    seen: list[str] = []

    async def generator() -> AsyncIterator[str]:
        try:
            async with while_connected():
                async for item in ticking():
                    yield item
        except ConnectionResetError:
            await asyncio.sleep(0.01)
            seen.append("told")

    async def main() -> None:
        async with open_stream(app) as stream:
            await stream.events(3)
            await stream.disconnect()
            await stream.wait_closed()

    app, records = application(generator, *middleware)
    asyncio.run(main())
    assert seen == ["told"]
    assert [record.reason for record in records] == [CloseReason.CLIENT_CLOSED]


def test_an_error_before_the_first_item_is_answered_with_its_status() -> None:
    """Starlette's exception handler makes the response of an HTTPException within the grace."""

    async def refused() -> AsyncIterator[str]:
        await asyncio.sleep(0.01)
        raise HTTPException(403)
        yield ""

    async def main() -> int:
        async with open_stream(app) as stream:
            await stream.wait_closed()
            return stream.status

    app, _ = application(refused)
    assert asyncio.run(main()) == 403


@pytest.mark.skipif(RELEASE < (0, 21), reason="older Starlettes hang in BaseHTTPMiddleware when a stream fails")
def test_under_base_http_middleware_only_the_event_tells_of_an_error() -> None:
    """It ends the body cleanly whatever happened inside: `stream-error` is all that a client can see."""

    async def failing() -> AsyncIterator[str]:
        yield "x"
        await asyncio.sleep(0.01)
        raise ValueError("secret")

    async def main(app: Any) -> tuple[bytes, str | None]:
        async with open_stream(app, raise_app_errors=False) as stream:
            await stream.until_end()
            return stream.received, stream.ended

    bare, _ = application(failing)
    wrapped, _ = application(failing, Middleware(Pass))
    expected = b'data: x\n\nevent: stream-error\ndata: {"reason":"producer_error"}\n\n'
    assert asyncio.run(main(bare)) == (expected, StreamEnd.TRUNCATED)
    received, ended = asyncio.run(main(wrapped))
    assert received == expected
    # Before 1.0 the middleware was torn down before it could send its own end of the body.
    assert ended is (StreamEnd.COMPLETE if RELEASE >= (1, 0) else StreamEnd.TRUNCATED)


@pytest.mark.skipif(RELEASE < (0, 46), reason="Starlette compresses, and so buffers, event streams before 0.46")
def test_gzip_leaves_event_streams_alone() -> None:
    """GZipMiddleware passes every event on at once."""

    async def main() -> None:
        async with open_stream(app, headers={"accept-encoding": "gzip"}) as stream:
            assert "content-encoding" not in stream.headers
            assert [event.data for event in await stream.events(2)] == ["x", "x"]

    app, _ = application(ticking, Middleware(GZipMiddleware, minimum_size=1))
    asyncio.run(main())
