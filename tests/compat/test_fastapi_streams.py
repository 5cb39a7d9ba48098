"""How a stream of `unbroken.compat.fastapi` lives and ends, on every version of FastAPI."""

# No `from __future__ import annotations`: FastAPI resolves the annotations of routes in their module's names only.

import asyncio
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from types import FunctionType
from typing import Any, ClassVar

import fastapi
import pytest
from fastapi import FastAPI, HTTPException, Request

from tests.compat.support import items, leave_after_one, read, received_within, silent
from unbroken import ClientDisconnected
from unbroken.compat._fastapi_event import ServerSentEvent as OwnEvent
from unbroken.compat.fastapi import (
    GENERATOR_ROUTES_SINCE,
    KEEPALIVE_COMMENT,
    EventSourceResponse,
    ServerSentEvent,
    format_sse_event,
)
from unbroken.errors import ConfigurationError, EncodeError
from unbroken.testing import StreamEnd, open_stream, run_with_virtual_clock

pytestmark = pytest.mark.core

VERSION = tuple(map(int, fastapi.__version__.split(".")[:2]))
generator_routes = pytest.mark.skipif(
    VERSION < GENERATOR_ROUTES_SINCE, reason="FastAPI serves generator routes since 0.134"
)


def returning(content: Callable[[], Any], **options: Any) -> FastAPI:
    """Return an application whose route returns the response."""
    app = FastAPI()

    @app.get("/", response_model=None)
    async def route():  # type: ignore[no-untyped-def]  # FastAPI of old takes the annotation for a model
        return EventSourceResponse(content(), **options)

    return app


def generating(endpoint: Callable[..., Any], kind: type[EventSourceResponse] = EventSourceResponse) -> FastAPI:
    """Return an application with a generator route."""
    app = FastAPI()
    app.get("/", response_class=kind)(endpoint)
    return app


def test_the_returned_form_works() -> None:
    """Wire text from a plain route is sent as it is."""
    stream = read(returning(lambda: items("data: x\n\n", b"data: y\n\n")))
    assert (stream.status, stream.received, stream.ended) == (200, b"data: x\n\ndata: y\n\n", StreamEnd.COMPLETE)
    assert stream.headers["cache-control"] == "no-cache"


def test_an_event_of_the_returned_form_is_encoded() -> None:
    """In FastAPI's order of fields, with the data in JSON."""
    event = ServerSentEvent(data={"a": "b"}, event="e", id="1", retry=5, comment="c")
    assert read(returning(lambda: items(event))).received == b': c\nevent: e\ndata: {"a": "b"}\nid: 1\nretry: 5\n\n'


def test_a_silent_stream_has_heartbeats() -> None:
    """FastAPI's comment comes after 15 seconds of silence."""
    received = run_with_virtual_clock(received_within(returning(silent), 50))
    assert received == b"x" + KEEPALIVE_COMMENT * 3


def test_the_options_of_the_main_api_are_taken() -> None:
    """`heartbeat`, `heartbeat_event`, `retry` and the like work, and go by themselves into a subclass."""
    app = returning(silent, heartbeat=5.0, heartbeat_event="beat", retry=7)
    assert run_with_virtual_clock(received_within(app, 6)) == b"retry: 7\n\nxevent: beat\ndata:\n\n"

    class Patient(EventSourceResponse):
        default_options: ClassVar = {"heartbeat": 20.0}

    assert Patient(silent()).options.heartbeat == 20.0
    assert Patient(silent(), heartbeat=30.0).options.heartbeat == 30.0


def test_the_client_leaving_reaches_the_generator() -> None:
    """`ClientDisconnected` is raised at the yield where it stands."""
    seen: list[BaseException] = []

    async def busy() -> AsyncIterator[str]:
        try:
            while True:
                yield "data: x\n\n"
        except ConnectionResetError as exc:
            seen.append(exc)

    asyncio.run(leave_after_one(returning(busy)))
    assert [type(exc) for exc in seen] == [ClientDisconnected]


# Generator routes


@generator_routes
def test_the_client_leaving_reaches_a_generator_route() -> None:
    """At the yield of the route itself, not of a generator that FastAPI put around it; its cleanup may await."""
    seen: list[object] = []

    async def busy():  # type: ignore[no-untyped-def]
        try:
            while True:
                yield {"x": 1}
        except ConnectionResetError as exc:
            await asyncio.sleep(0)
            seen.append(exc)

    asyncio.run(leave_after_one(generating(busy)))
    assert [type(exc) for exc in seen] == [ClientDisconnected]


@generator_routes
def test_a_generator_route_that_waits_is_cancelled_once() -> None:
    """Its cleanup may await, and runs before the response has ended."""
    seen: list[object] = []

    async def waiting():  # type: ignore[no-untyped-def]
        try:
            yield 1
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            await asyncio.sleep(0)
            seen.append("cleaned")
            raise

    asyncio.run(leave_after_one(generating(waiting)))
    assert seen == ["cleaned"]


@generator_routes
def test_a_synchronous_generator_route_is_told_and_closed() -> None:
    """Its `finally` has run when the response has ended, and not when a collector comes."""
    seen: list[object] = []

    def busy():  # type: ignore[no-untyped-def]
        try:
            while True:
                yield 1
        except ConnectionResetError as exc:
            seen.append(type(exc))
        finally:
            seen.append("cleaned")

    asyncio.run(leave_after_one(generating(busy)))
    assert seen == [ClientDisconnected, "cleaned"]


@generator_routes
def test_an_error_before_the_first_item_has_its_real_status() -> None:
    """An `HTTPException` of the route becomes the response that FastAPI makes of it."""

    async def forbidden():  # type: ignore[no-untyped-def]
        raise HTTPException(403, "no")
        yield

    stream = read(generating(forbidden))
    assert (stream.status, stream.received, stream.error) == (403, b'{"detail":"no"}', None)


@generator_routes
def test_no_item_before_an_error_is_lost() -> None:
    """All that was yielded is delivered, then `stream-error`; the error is raised once."""

    async def failing():  # type: ignore[no-untyped-def]
        yield 1
        yield 2
        raise ZeroDivisionError

    stream = read(generating(failing))
    assert stream.received.startswith(b"data: 1\n\ndata: 2\n\nevent: stream-error\n")
    assert (stream.ended, type(stream.error)) == (StreamEnd.TRUNCATED, ZeroDivisionError)


@generator_routes
def test_a_generator_route_has_heartbeats_and_the_options_of_its_class() -> None:
    """FastAPI makes the response, so a subclass says what it is like."""

    class Hasty(EventSourceResponse):
        default_options: ClassVar = {"heartbeat": 2.0}

    assert run_with_virtual_clock(received_within(generating(silent), 50)) == b'data: "x"\n\n' + KEEPALIVE_COMMENT * 3
    assert run_with_virtual_clock(received_within(generating(silent, Hasty), 5)) == (
        b'data: "x"\n\n' + KEEPALIVE_COMMENT * 2
    )


@generator_routes
def test_a_response_of_another_origin_is_not_taken_for_the_route() -> None:
    """What an exception handler returns in the place of a generator route is the returned form."""

    async def failing():  # type: ignore[no-untyped-def]
        raise KeyError
        yield

    async def handler(request: Request, exc: Exception) -> EventSourceResponse:
        return EventSourceResponse(items("event: error\ndata:\n\n"))

    app = generating(failing)
    app.add_exception_handler(KeyError, handler)
    assert read(app).received == b"event: error\ndata:\n\n"


class RouteOf:
    """As much of a route as a response looks at."""

    def __init__(self, endpoint: Callable[..., Any]) -> None:
        self.endpoint = endpoint


def test_a_generator_that_fastapi_hides_is_refused() -> None:
    """A version that wraps generators in another way fails loudly, where the stream would be deaf to its end."""

    async def unknown() -> AsyncIterator[int]:
        yield 1

    async def endpoint() -> AsyncIterator[int]:
        yield 1

    hidden = FunctionType(unknown.__code__, {"__name__": "fastapi.routing"})

    async def main() -> None:
        async with open_stream(EventSourceResponse(hidden()), scope={"route": RouteOf(endpoint)}):
            pass

    with pytest.raises(ConfigurationError, match="hides the generator"):
        asyncio.run(main())


def test_a_generator_route_that_was_collected_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """FastAPI before 0.134 makes a list of a generator route's items; the error says what to do instead."""
    monkeypatch.setattr(fastapi, "__version__", "0.133.0")

    def endpoint() -> Iterator[int]:
        yield 1

    async def main() -> None:
        async with open_stream(EventSourceResponse([1]), scope={"route": RouteOf(endpoint)}):
            pass

    with pytest.raises(ConfigurationError, match=r"0\.133\.0.*return EventSourceResponse"):
        asyncio.run(main())


# Events


@pytest.mark.parametrize(
    "fields", [{"id": "1\n2"}, {"id": "\0"}, {"event": "\r"}, {"retry": -1}, {"retry": True}], ids=str
)
def test_what_breaks_the_framing_is_refused(fields: dict[str, Any]) -> None:
    """CR, LF and NUL in an id or a type, and a retry that is no number of milliseconds."""
    with pytest.raises(EncodeError):
        format_sse_event(data_str="x", **fields)
    with pytest.raises(ValueError, match=next(iter(fields))):
        OwnEvent(**fields)


def test_the_event_for_older_versions_has_the_same_fields() -> None:
    """It takes what FastAPI's takes, by keyword alone, and not two kinds of data."""
    event = OwnEvent(data=1, event="e", id="1", retry=5, comment="c")
    assert (event.data, event.raw_data, event.event, event.id, event.retry, event.comment) == (
        1,
        None,
        "e",
        "1",
        5,
        "c",
    )
    with pytest.raises(EncodeError, match="choose one"):
        OwnEvent(data=1, raw_data="x")
    with pytest.raises(TypeError):
        OwnEvent(1)  # type: ignore[call-arg]


def test_without_fastapi_the_extra_is_named() -> None:
    """The import fails with an `ImportError` that says what to install."""
    code = "import sys; sys.modules['fastapi'] = None; import unbroken.compat.fastapi"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)
    assert result.returncode == 1
    assert "MissingExtraError: fastapi is not installed" in result.stderr
    assert "pip install 'unbroken[fastapi]'" in result.stderr
