"""`unbroken.compat.fastapi` beside `fastapi.sse`: the same application, with one import or the other."""

# No `from __future__ import annotations`: FastAPI resolves the annotations of routes in their module's names only.

import asyncio
import dataclasses
import datetime as dt
import enum
import uuid
from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator, Callable, Iterable, Iterator
from functools import partial, wraps
from typing import Annotated, Any

import fastapi.exceptions
import pytest
from fastapi import APIRouter, BackgroundTasks, Depends, FastAPI, Response
from pydantic import BaseModel, Field

import unbroken.compat.fastapi as ours
import unbroken.wire
from tests.compat.support import outcome, parameters, read
from unbroken.errors import EncodeError
from unbroken.testing import DrivenStream, StreamEnd

theirs = pytest.importorskip("fastapi.sse", reason="this version of FastAPI has no fastapi.sse")

Make = Callable[[Any], FastAPI]


class Item(BaseModel):
    name: str
    price: float | None = None
    note: str = Field(default="", alias="remark")


class Secret(Item):
    password: str


@dataclasses.dataclass
class Point:
    x: int
    y: float


class Colour(enum.Enum):
    RED = "red"


ITEMS: list[tuple[str, Any]] = [
    ("str", "hello"),
    ("str of lines", "a\nb\r\nc"),
    ("wire text is data", "data: x\n\n"),
    ("not ASCII", "h\N{LATIN SMALL LETTER E WITH ACUTE} \N{SNOWMAN} \u2028"),
    ("bytes", b"text"),
    ("None", None),
    ("bool", True),
    ("number", 1.5),
    ("not a number", [float("nan"), {"a": float("inf")}]),
    ("list", [1, "a", None]),
    ("dict", {"a": {"b": [1]}, 2: "x"}),
    ("model", Item(name="x", remark="r")),
    ("dataclass", Point(1, 2.0)),
    ("enum", Colour.RED),
    ("moment", dt.datetime(2026, 1, 2, 3, 4, 5, tzinfo=dt.UTC)),
    ("uuid", uuid.UUID(int=5)),
    ("event", theirs.ServerSentEvent(data="x")),
    ("event of model", theirs.ServerSentEvent(data=Item(name="h\N{LATIN SMALL LETTER E WITH ACUTE}"), id="1")),
    ("event of dict", theirs.ServerSentEvent(data={"a": float("nan")}, event="e", id="1", retry=5, comment="c\nd")),
    ("event of raw text", theirs.ServerSentEvent(raw_data="<p>\r\n</p>\n", event="html")),
    ("event without data", theirs.ServerSentEvent(event="e")),
    ("event without anything", theirs.ServerSentEvent()),
    ("comment", theirs.ServerSentEvent(comment="")),
    ("empty fields", theirs.ServerSentEvent(raw_data="", event="", id="", retry=0)),
]


def application(library: Any, endpoint: Any, **route: Any) -> FastAPI:
    """Return an application with one generator route."""
    app = FastAPI()
    app.get("/", response_class=library.EventSourceResponse, **route)(endpoint)
    return app


def both(make: Make, path: str = "/", **options: Any) -> tuple[DrivenStream, DrivenStream]:
    """Read the stream of the same application with either import."""
    return read(make(theirs), path, **options), read(make(ours), path, **options)


def assert_alike(make: Make, path: str = "/", **options: Any) -> DrivenStream:
    """Fail unless status, headers, body and end are the same with either import; return the stream."""
    one, other = both(make, path, **options)
    assert outcome(other) == outcome(one)
    assert other.ended is StreamEnd.COMPLETE
    return other


# Names


def test_the_names_and_arguments_are_the_same() -> None:
    """`ServerSentEvent` is FastAPI's own; the others take the same arguments, the response further ones."""
    assert ours.ServerSentEvent is theirs.ServerSentEvent
    assert ours.KEEPALIVE_COMMENT == theirs.KEEPALIVE_COMMENT
    assert parameters(ours.format_sse_event) == parameters(theirs.format_sse_event)
    arguments = parameters(theirs.EventSourceResponse.__init__)
    assert parameters(ours.EventSourceResponse.__init__)[: len(arguments)] == arguments


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"data_str": ""},
        {"data_str": "a\nb\r\nc\r"},
        {"data_str": "x", "event": "e", "id": "1", "retry": 0, "comment": "c\r\nd"},
        {"comment": ""},
        {"event": "", "id": ""},
    ],
    ids=str,
)
def test_an_event_is_formatted_alike(fields: dict[str, Any]) -> None:
    """`format_sse_event` gives the same bytes."""
    assert ours.format_sse_event(**fields) == theirs.format_sse_event(**fields)


# Generator routes


@pytest.mark.parametrize("item", [item for _, item in ITEMS], ids=[name for name, _ in ITEMS])
@pytest.mark.parametrize("asynchronous", [True, False], ids=["async", "sync"])
def test_an_item_of_a_generator_route_has_the_same_bytes(item: Any, asynchronous: bool) -> None:
    """Every kind of item goes alike, from `async def` and from `def`."""

    async def route() -> Any:
        yield item
        await asyncio.sleep(0)

    def synchronous() -> Any:
        yield item

    assert_alike(lambda library: application(library, route if asynchronous else synchronous))


def test_a_generator_route_has_the_same_headers() -> None:
    """Content type, no caching, no buffering: the response is the same in all of it."""

    async def route() -> Any:
        yield 1

    stream = assert_alike(lambda library: application(library, route))
    assert stream.headers == {
        "cache-control": "no-cache",
        "content-type": "text/event-stream; charset=utf-8",
        "x-accel-buffering": "no",
    }


async def items_of_model() -> AsyncIterable[Item]:
    """Yield what is a model, what becomes one, and what has more than it."""
    yield Item(name="h\N{LATIN SMALL LETTER E WITH ACUTE}", remark="r")
    yield {"name": "a", "price": 2}  # type: ignore[misc]
    yield Secret(name="b", password="secret")
    yield theirs.ServerSentEvent(data={"not": "an item"}, id="1")


def items_of_list() -> Iterator[list[Item]]:
    """Yield lists of models, synchronously."""
    yield [Item(name="a"), Item(name="b")]
    yield []


async def items_of_text() -> AsyncGenerator[str, None]:
    """Yield text that is not ASCII."""
    yield "h\N{LATIN SMALL LETTER E WITH ACUTE}"


async def items_of_anything() -> AsyncIterator[Any]:
    """Yield what no type was promised for."""
    yield {"a": [1, 2]}
    yield Point(1, 2)


async def items_of_constraint() -> AsyncIterable[Annotated[int, Field(ge=3)]]:
    """Yield numbers of three and more."""
    yield 3


async def events() -> AsyncIterable[theirs.ServerSentEvent]:  # type: ignore[name-defined]
    """Yield events."""
    yield theirs.ServerSentEvent(data={"a": 1})


def of_inner_scope() -> Any:
    """Return a route whose annotation has a name that cannot be resolved from its module."""

    class Inner(BaseModel):
        x: int

    async def items_of_inner_scope() -> "AsyncIterable[Inner]":
        yield Inner(x=1)

    return items_of_inner_scope


ANNOTATED = [
    of_inner_scope(),
    items_of_model,
    items_of_list,
    items_of_text,
    items_of_anything,
    items_of_constraint,
    events,
]


@pytest.mark.parametrize("endpoint", ANNOTATED)
def test_the_return_annotation_of_a_route_is_heeded(endpoint: Any) -> None:
    """Items are validated, filtered and serialised as the type says that the route promises."""
    stream = assert_alike(lambda library: application(library, endpoint))
    assert b"secret" not in stream.received


@pytest.mark.parametrize(
    "options",
    [
        {"response_model_exclude_none": True},
        {"response_model_exclude_unset": True},
        {"response_model_exclude_defaults": True},
        {"response_model_by_alias": False},
        {"response_model_include": {"name"}},
        {"response_model_exclude": {"name"}},
    ],
    ids=str,
)
def test_the_model_options_of_a_route_are_heeded(options: dict[str, Any]) -> None:
    """What a route leaves out of its models is left out of the events."""
    assert_alike(lambda library: application(library, items_of_model, **options))


async def broken_promise() -> AsyncIterable[Item]:
    """Yield one item, and then none."""
    yield Item(name="a")
    await asyncio.sleep(0.01)
    yield "no item"  # type: ignore[misc]


def test_an_item_that_is_not_what_was_promised_ends_the_stream() -> None:
    """The exception is FastAPI's, with the same errors; ours ends a stream that is seen to have failed."""
    one, other = both(lambda library: application(library, broken_promise))
    assert isinstance(other.error, fastapi.exceptions.ResponseValidationError)
    error = one.error.exceptions[0] if isinstance(one.error, BaseExceptionGroup) else one.error
    assert isinstance(error, fastapi.exceptions.ResponseValidationError)
    assert (other.error.errors(), other.error.body) == (error.errors(), error.body)
    assert other.ended is StreamEnd.TRUNCATED
    assert b"event: stream-error" in other.received.removeprefix(one.received)


def test_the_error_can_be_caught_at_the_yield() -> None:
    """What cannot be sent is the fault of the yield that gave it, and raised there."""
    caught: list[BaseException] = []

    async def route() -> Any:
        try:
            yield object()
        except ValueError as exc:
            caught.append(exc)
        yield "goes on"

    assert read(application(ours, route)).received == b'data: "goes on"\n\n'
    assert len(caught) == 1


async def needs(q: int = 3) -> AsyncIterator[int]:
    """Be a dependency that is open while the stream is."""
    opened.append(q)
    yield q
    opened.remove(q)


opened: list[int] = []


async def route_with_dependency(number: Annotated[int, Depends(needs)]) -> AsyncIterable[str]:
    """Yield what the dependency gave, and whether it is open."""
    yield str(number)
    await asyncio.sleep(0)
    yield str(opened)


def sets(response: Response, tasks: BackgroundTasks) -> None:
    """Set what goes with a response; a generator route itself runs too late for that."""
    response.headers["X-A"] = "b"
    response.set_cookie("c", "d")
    tasks.add_task(opened.append, -1)


async def route_with_response(_: Annotated[None, Depends(sets)]) -> AsyncIterable[int]:
    """Leave the response to a dependency."""
    yield 1


def test_what_fastapi_does_around_a_route_is_kept() -> None:
    """Query, dependencies with `yield`, status, headers and cookies of the injected response, background tasks."""
    assert_alike(lambda library: application(library, route_with_dependency, status_code=203), query="q=7")
    assert opened == []
    stream = assert_alike(lambda library: application(library, route_with_response))
    assert (stream.headers["x-a"], opened) == ("b", [-1, -1])
    opened.clear()


class Endpoint:
    async def __call__(self) -> AsyncIterable[int]:
        yield 1

    async def method(self) -> AsyncIterable[int]:
        yield 2

    def synchronous(self) -> Iterable[int]:
        yield 3


async def number_of(number: int = 0, factor: int = 1) -> AsyncIterable[int]:
    """Yield a number."""
    yield number * factor


def decorated(function: Any) -> Any:
    """Wrap a synchronous generator function in another."""

    @wraps(function)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        yield from function(*args, **kwargs)

    return wrapper


@pytest.mark.parametrize(
    "endpoint",
    [Endpoint(), Endpoint().method, Endpoint().synchronous, partial(number_of, factor=5), decorated(items_of_list)],
    ids=["object", "method", "synchronous method", "partial", "decorated"],
)
def test_every_kind_of_endpoint_is_recognised(endpoint: Any) -> None:
    """A route need not be a plain function."""
    assert_alike(lambda library: application(library, endpoint), query="number=4")


def test_routers_and_mounted_applications_are_the_same() -> None:
    """The route may be included from a router, or lie in an application that is mounted."""

    def make(library: Any) -> FastAPI:
        inner, outer, mounted = APIRouter(prefix="/inner"), APIRouter(prefix="/outer"), FastAPI()
        for router in (inner, mounted):
            router.get("/items", response_class=library.EventSourceResponse)(items_of_model)
            router.post("/items", response_class=library.EventSourceResponse)(items_of_list)
        outer.include_router(inner)
        mounted.include_router(outer)
        app = FastAPI()
        app.mount("/mounted", mounted)
        return app

    for path in ("/mounted/items", "/mounted/outer/inner/items"):
        assert_alike(make, path)
        assert_alike(make, path, method="POST")


def test_the_schema_names_the_media_type() -> None:
    """OpenAPI says that the route streams events; of what they are made it does not say any more."""
    schema = application(ours, items_of_model).openapi()
    assert list(schema["paths"]["/"]["get"]["responses"]["200"]["content"]) == ["text/event-stream"]


def test_an_event_of_the_main_api_is_taken() -> None:
    """`unbroken.ServerSentEvent` may be mixed in, and has its own bytes."""

    async def route() -> AsyncIterable[Any]:
        yield unbroken.wire.ServerSentEvent({"a": 1}, id="1")

    assert read(application(ours, route)).received == b'id: 1\ndata: {"a":1}\n\n'


def test_nul_in_an_event_type_is_refused() -> None:
    """It is the one thing that FastAPI's model lets through and this does not."""
    with pytest.raises(EncodeError, match="NUL"):
        ours.format_sse_event(event=theirs.ServerSentEvent(event="\0").event)
