"""Streams in FastAPI routes, of any version that is supported."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest

from unbroken import CloseReason, EventSourceResponse, ServerSentEvent, while_connected
from unbroken.observe import StreamRecord
from unbroken.testing import open_stream

fastapi = pytest.importorskip("fastapi")
pytestmark = pytest.mark.core


def application(generator: Any, records: list[StreamRecord]) -> Any:
    """Return a FastAPI application with one streaming route."""
    app = fastapi.FastAPI()

    async def events() -> Any:
        return EventSourceResponse(generator(), on_close=records.append)

    app.get("/events")(events)
    return app


def test_a_route_streams_and_its_client_may_leave() -> None:
    """Events arrive as they are yielded; the generator is told of its client's leaving, inside the scope."""
    seen: list[str] = []
    records: list[StreamRecord] = []

    async def generator() -> AsyncIterator[object]:
        try:
            async with while_connected():
                yield ServerSentEvent({"n": 1}, event="tick", id="1")
                await asyncio.Event().wait()
        except ConnectionResetError:
            await asyncio.sleep(0)
            seen.append("told")

    async def main() -> None:
        async with open_stream(application(generator, records), "/events") as stream:
            event = await stream.next_event()
            assert (event.event, event.data, event.last_event_id) == ("tick", '{"n":1}', "1")

    asyncio.run(main())
    assert seen == ["told"]
    assert [record.reason for record in records] == [CloseReason.CLIENT_CLOSED]


def test_an_http_exception_in_the_generator_is_a_real_response() -> None:
    """Raised before the first item it is answered by FastAPI's own handler."""

    async def generator() -> AsyncIterator[str]:
        raise fastapi.HTTPException(418, "short and stout")
        yield ""

    async def main() -> tuple[int, bytes]:
        async with open_stream(application(generator, []), "/events") as stream:
            await stream.wait_closed()
            return stream.status, stream.received

    status, received = asyncio.run(main())
    assert status == 418
    assert b"short and stout" in received


def test_a_synchronous_generator_in_a_route() -> None:
    """It streams from a worker thread, as FastAPI's users expect."""

    def generator() -> Iterator[str]:
        yield from ("a", "b")

    async def main() -> list[str]:
        async with open_stream(application(generator, []), "/events") as stream:
            return [event.data for event in await stream.until_end()]

    assert asyncio.run(main()) == ["a", "b"]


def test_a_pydantic_model_is_sent_as_json() -> None:
    """Models of either major version are data."""
    pydantic = pytest.importorskip("pydantic")

    class Tick(pydantic.BaseModel):  # type: ignore[misc, name-defined]
        n: int

    async def generator() -> AsyncIterator[object]:
        yield Tick(n=1)
        yield {"nested": [Tick(n=2)]}

    async def main() -> list[str]:
        async with open_stream(application(generator, []), "/events") as stream:
            return [event.data.replace(" ", "") for event in await stream.until_end()]

    assert asyncio.run(main()) == ['{"n":1}', '{"nested":[{"n":2}]}']
