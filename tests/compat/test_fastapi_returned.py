"""`return EventSourceResponse(…)` from a route, beside the same with `fastapi.sse`."""

from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import pytest
from fastapi import FastAPI

import unbroken.compat.fastapi as ours
from tests.compat.support import read, without

theirs = pytest.importorskip("fastapi.sse", reason="this version of FastAPI has no fastapi.sse")


def returning(library: Any, content: Callable[[], Any], **arguments: Any) -> FastAPI:
    """Return an application whose route returns the response."""
    app = FastAPI()

    @app.get("/")
    async def route() -> Any:
        return library.EventSourceResponse(content(), **arguments)

    return app


@pytest.mark.parametrize("arguments", [{}, {"status_code": 202, "headers": {"X-A": "b"}}], ids=str)
def test_the_returned_form_has_the_same_bytes(arguments: dict[str, Any]) -> None:
    """Text and bytes are sent as they are; beyond theirs there are the headers against caching and buffering."""

    async def frames() -> AsyncIterator[Any]:
        yield "data: h\N{LATIN SMALL LETTER E WITH ACUTE}\n\n"
        yield b"data: x\n\n"
        yield theirs.format_sse_event(data_str="y", id="1")
        yield memoryview(b": c\n\n")

    one, other = (read(returning(library, frames, **arguments)) for library in (theirs, ours))
    assert (other.status, other.received, other.ended) == (one.status, one.received, one.ended)
    headers = without(without(other.headers, "cache-control"), "x-accel-buffering")
    assert headers == one.headers


def test_the_returned_form_takes_events_and_values_too() -> None:
    """Where `StreamingResponse` fails on what is neither text nor bytes, it goes as on a generator route."""

    def values() -> Iterator[Any]:
        yield theirs.ServerSentEvent(data="x", id="1")
        yield {"a": 1}

    assert read(returning(ours, values)).received == b'data: "x"\nid: 1\n\ndata: {"a": 1}\n\n'
