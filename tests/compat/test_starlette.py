"""`unbroken.compat.starlette`: what people expect `starlette.responses.EventSourceResponse` to be."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import StreamingResponse
from starlette.routing import Route

import unbroken.stream.response
from tests.compat.support import items, outcome, parameters, read
from unbroken.compat.starlette import EventSourceResponse, ServerSentEvent
from unbroken.errors import EncodeError
from unbroken.testing import StreamEnd, open_stream

pytestmark = pytest.mark.core

FRAMES: list[tuple[Any, ...]] = [
    ("data: hello\n\n",),
    (b"data: bytes\n\n", "data: h\N{LATIN SMALL LETTER E WITH ACUTE}llo\n\n"),
    ("data: half of ", "an event\n\n"),
    ("id: 1\r\nevent: tick\r\ndata: crlf\r\n\r\n", ": comment\n\n"),
    ("",),
    (),
]


@pytest.mark.parametrize("frames", FRAMES, ids=repr)
def test_text_and_bytes_go_as_with_streaming_response(frames: tuple[Any, ...]) -> None:
    """The body is byte for byte that of Starlette's `StreamingResponse`."""
    theirs = read(StreamingResponse(items(*frames), media_type="text/event-stream"))
    ours = read(EventSourceResponse(items(*frames)))
    assert ours.received == theirs.received
    assert (ours.status, ours.ended, ours.error) == (theirs.status, StreamEnd.COMPLETE, None)
    assert ours.headers.items() >= theirs.headers.items()


def test_a_synchronous_generator_goes_as_well() -> None:
    """`def` generators of frames are taken like asynchronous ones."""

    def frames() -> Iterator[str]:
        yield "data: 1\n\n"
        yield "data: 2\n\n"

    assert read(EventSourceResponse(frames())).received == b"data: 1\n\ndata: 2\n\n"


def test_the_arguments_of_streaming_response_come_first() -> None:
    """Name, order and default of what `StreamingResponse` takes are kept, for calls by position."""
    theirs = parameters(StreamingResponse.__init__)
    assert parameters(EventSourceResponse.__init__)[: len(theirs)] == theirs


def test_what_is_no_frame_is_encoded() -> None:
    """Events and plain values may be mixed in, as a first step away from frames by hand."""
    stream = read(EventSourceResponse(items("data: a\n\n", ServerSentEvent("b", event="e"), {"c": 1})))
    assert stream.received == b'data: a\n\nevent: e\ndata: b\n\ndata: {"c":1}\n\n'


def test_the_options_of_the_main_api_are_taken() -> None:
    """`heartbeat`, `retry` and the like work; so does turning the wire text off, and a wrong one is refused."""
    assert read(EventSourceResponse(items("data: a\n\n"), retry=5)).received == b"retry: 5\n\ndata: a\n\n"
    assert read(EventSourceResponse(items("a"), preframed=False)).received == b"data: a\n\n"
    with pytest.raises(EncodeError, match="retry"):
        EventSourceResponse(items(), retry=-1)
    assert outcome(read(EventSourceResponse(items("x")))) == outcome(
        read(unbroken.stream.response.EventSourceResponse(items("x"), preframed=True))
    )


def test_the_loop_that_people_write_hears_of_its_client() -> None:
    """The endless loop without an await, in `try … except ConnectionResetError`, prints its line once and ends."""
    lines: list[str] = []

    async def event_generator() -> AsyncIterator[str]:
        try:
            while True:
                yield "data: Hello\n\n"
        except ConnectionResetError:
            lines.append("Client disconnected, stopping event generator")
            return

    async def route(request: Request) -> EventSourceResponse:
        return EventSourceResponse(event_generator())

    async def main() -> None:
        async with open_stream(Starlette(routes=[Route("/sse", route)]), "/sse") as stream:
            assert {event.data for event in await stream.events(500)} == {"Hello"}
            await stream.disconnect()
            await stream.wait_closed()

    asyncio.run(main())
    assert lines == ["Client disconnected, stopping event generator"]
