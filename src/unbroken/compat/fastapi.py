"""The names of `fastapi.sse`: change that import to this module, whatever the version of FastAPI.

    from unbroken.compat.fastapi import EventSourceResponse, ServerSentEvent

    @app.get("/items", response_class=EventSourceResponse)
    async def items() -> AsyncIterable[Item]:
        yield Item(name="a")

Both ways of use send FastAPI's bytes: a generator route as above (FastAPI 0.134
and later), whose items go as JSON, validated and filtered as the route says; and
`return EventSourceResponse(generator())` from any other route, where text and
bytes are wire frames. What is not kept, and why:

* An exception before the first item (within `start_grace`, half a second) gives its real status, where FastAPI has
  sent 200 by then. A first item that takes longer is preceded by a comment.
* No item that was yielded before an exception is lost; the last event is then `stream-error`, the body incomplete.
* At a `yield` the client's leaving is raised as `ClientDisconnected`, where FastAPI cancels or forgets the generator.
  That is an `Exception`, so an `except Exception` around a `yield` sees it.
* The returned form has heartbeats, and the headers against caching and buffering, which FastAPI's has not.
* The class is no subclass of `fastapi.sse.EventSourceResponse`, because FastAPI serves those by a pump of its own,
  nor of `StreamingResponse`. So OpenAPI names `text/event-stream` for the route, without the schema of its events.
* `format_sse_event` raises `EncodeError` for what breaks the framing; so does NUL in an event's type.
* `fastapi.sse._PING_INTERVAL` is not read: say `heartbeat=`, or `default_options` in a subclass.
* Before FastAPI 0.135 `ServerSentEvent` is a dataclass with the same fields and checks, no pydantic model.
"""

from __future__ import annotations

import inspect
import json
import math
import typing
from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator, Callable, Generator, Iterable, Iterator
from dataclasses import replace
from functools import lru_cache, partial
from types import FrameType, FunctionType, MethodType
from typing import TYPE_CHECKING, Any, ClassVar, TypeGuard

import unbroken.stream.response
import unbroken.wire
from unbroken.errors import ConfigurationError, MissingExtraError
from unbroken.stream.exchange import Receive
from unbroken.stream.outlet import Message, Send

try:
    import fastapi
    from fastapi.encoders import jsonable_encoder
except ImportError as exc:
    raise MissingExtraError("fastapi", "fastapi") from exc

if TYPE_CHECKING:
    from collections.abc import Mapping

    from fastapi.sse import ServerSentEvent
    from pydantic import TypeAdapter
    from starlette.background import BackgroundTask
else:
    try:
        from fastapi.sse import ServerSentEvent
    except ImportError:
        from unbroken.compat._fastapi_event import ServerSentEvent

__all__ = ["KEEPALIVE_COMMENT", "EventSourceResponse", "ServerSentEvent", "format_sse_event"]

KEEPALIVE_COMMENT = b": ping\n\n"
"""The heartbeat, as FastAPI words it."""

GENERATOR_ROUTES_SINCE = (0, 134)

_STREAMS = (AsyncIterable, AsyncIterator, AsyncGenerator, Iterable, Iterator, Generator)
"""The return annotations of a generator route that name the type of its items."""


class EventSourceResponse(unbroken.stream.response.EventSourceResponse):
    """`unbroken.EventSourceResponse` with FastAPI's bytes, returned from a route or named as its `response_class`.

    The further arguments are those of `unbroken.EventSourceResponse`. For a
    generator route, which FastAPI makes the response of, they are the subclass's:

        class Patient(EventSourceResponse):
            default_options = {"heartbeat": 5.0}

    Raises:
        ConfigurationError: as `unbroken.EventSourceResponse`; and when it is served, if this version of FastAPI
            hides the generator of a generator route.
    """

    default_headers: Mapping[str, str] = {"cache-control": "no-cache", "x-accel-buffering": "no"}
    heartbeat_header = None
    default_options: ClassVar[Mapping[str, Any]] = {}
    """Arguments of `unbroken.EventSourceResponse` for when they are not given."""

    def __init__(
        self,
        content: AsyncIterable[Any] | Iterable[Any],
        status_code: int = 200,
        headers: Mapping[str, str] | None = None,
        media_type: str | None = None,
        background: BackgroundTask | None = None,
        **options: Any,
    ) -> None:
        options = {**self.default_options, **options}
        super().__init__(content, status_code, headers, media_type, background, **options)
        self.encode = _encode_chunk
        if options.get("heartbeat_event") is None:
            self.options = replace(self.options, heartbeat_frame=KEEPALIVE_COMMENT, opening_frame=KEEPALIVE_COMMENT)

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """Serve the stream; that of a generator route with the route's validation and JSON."""
        route = scope.get("route")
        generator = _routed_generator(self.content, getattr(route, "endpoint", None))
        if generator is not None:
            self.content = generator
            self.encode = partial(_encode_item, to_json=_json_of_route(route))
        await super().__call__(scope, receive, send)


def format_sse_event(
    *,
    data_str: str | None = None,
    event: str | None = None,
    id: str | None = None,  # noqa: A002 - the wire's name for it
    retry: int | None = None,
    comment: str | None = None,
) -> bytes:
    """Return an event whose data is text already, in FastAPI's order of fields.

    Raises:
        EncodeError: CR, LF or NUL in `event` or `id`; `retry` is negative or no int.
    """
    unbroken.wire.ServerSentEvent("", event=event, id=id, retry=retry)  # raises what is refused
    lines = [
        *_lines("", comment),
        *_lines("event", event),
        *_lines("data", data_str),
        *_lines("id", id),
        *_lines("retry", retry),
    ]
    return "\n".join([*lines, "", ""]).encode()


def _lines(field: str, value: object) -> list[str]:
    if value is None:
        return []
    text = str(value).replace("\r\n", "\n").replace("\r", "\n")
    return [f"{field}: {line}" for line in text.split("\n")]


# What is yielded, to bytes.


def _encode_chunk(item: Any) -> bytes:
    """Encode an item of the returned form: as `StreamingResponse` does, and what that cannot take as a route would."""
    if isinstance(item, str):
        return item.encode()
    if isinstance(item, bytes | bytearray | memoryview):
        return bytes(item)
    return _encode_item(item, to_json=_json)


def _encode_item(item: Any, *, to_json: Callable[[Any], str]) -> bytes:
    if isinstance(item, ServerSentEvent):
        return _encode_event(item)
    if isinstance(item, unbroken.wire.ServerSentEvent):
        return unbroken.wire.encode(item)
    return format_sse_event(data_str=to_json(item))


def _encode_event(event: ServerSentEvent) -> bytes:
    data = event.raw_data
    if data is None and event.data is not None:
        data = event.data.model_dump_json() if hasattr(event.data, "model_dump_json") else _json(event.data)
    return format_sse_event(data_str=data, event=event.event, id=event.id, retry=event.retry, comment=event.comment)


def _json(value: Any) -> str:
    # The encoder takes 2 µs even for a str, which is what a stream of tokens is made of.
    return json.dumps(value if type(value) is str else _finite(jsonable_encoder(value)))


def _finite(value: Any) -> Any:
    """Put None for NaN and the infinities, which JSON has not."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    return [_finite(item) for item in value] if isinstance(value, list) else value


# The generator route: what FastAPI made of it, and what it says of its items.


def _routed_generator(content: Any, endpoint: Any) -> Any:
    """Return the generator of a generator route, or None if `content` is of another origin."""
    layers = list(_layers(endpoint))
    if (
        isinstance(content, list)
        and any(map(inspect.isgeneratorfunction, layers))
        and _is_older_than_generator_routes()
    ):
        raise ConfigurationError(
            f"FastAPI {fastapi.__version__} has collected a generator route into a list; generator routes need "
            "0.134: return EventSourceResponse(generator()) from the route instead"
        )
    if inspect.isasyncgen(content) and _is_of_fastapi(content.ag_frame):
        return _wrapped_by_fastapi(content.ag_frame)
    code = getattr(content, "ag_code", None) or getattr(content, "gi_code", None)
    return content if code is not None and code in [layer.__code__ for layer in layers] else None


def _is_of_fastapi(frame: FrameType | None) -> TypeGuard[FrameType]:
    return frame is not None and frame.f_globals.get("__name__") == "fastapi.routing"


def _wrapped_by_fastapi(frame: FrameType) -> Any:
    # FastAPI passes an async generator on in one of its own, in which every exception from outside would end,
    # so the route's would never learn of its client. The outer one has not begun, and holds the inner in its frame.
    inner = [value for value in frame.f_locals.values() if inspect.isasyncgen(value)]
    if len(inner) != 1:
        raise ConfigurationError(
            f"FastAPI {fastapi.__version__} hides the generator of a generator route in a way that is not known here: "
            "return EventSourceResponse(generator()) from the route instead"
        )
    return inner[0]


def _is_older_than_generator_routes() -> bool:
    return tuple(map(int, fastapi.__version__.split(".")[:2])) < GENERATOR_ROUTES_SINCE


def _layers(endpoint: Any) -> Iterator[FunctionType]:
    """Yield the functions that an endpoint is made of; the one that was written for the route comes last."""
    if callable(endpoint) and not isinstance(endpoint, FunctionType | MethodType | partial):
        endpoint = type(endpoint).__call__
    while True:
        if isinstance(endpoint, partial):
            endpoint = endpoint.func
        elif isinstance(endpoint, MethodType):
            endpoint = endpoint.__func__
        elif isinstance(endpoint, FunctionType):
            yield endpoint
            endpoint = getattr(endpoint, "__wrapped__", None)
        else:
            return


def _json_of_route(route: Any) -> Callable[[Any], str]:
    functions = list(_layers(route.endpoint))
    adapter = _item_adapter(functions[-1]) if functions else None
    if adapter is None:
        return _json
    options = {
        name: getattr(route, f"response_model_{name}")
        for name in ("include", "exclude", "by_alias", "exclude_unset", "exclude_defaults", "exclude_none")
    }
    return partial(_validated_json, adapter, options)


def _validated_json(adapter: TypeAdapter[Any], options: dict[str, Any], item: Any) -> str:
    from fastapi.exceptions import ResponseValidationError
    from pydantic import ValidationError

    try:
        value = adapter.validate_python(item, from_attributes=True)
    except ValidationError as exc:
        errors = [{**error, "loc": ("response", *error["loc"])} for error in exc.errors(include_url=False)]
        raise ResponseValidationError(errors, body=item) from exc
    return adapter.dump_json(value, **options).decode()


@lru_cache(maxsize=1024)
def _item_adapter(function: FunctionType) -> TypeAdapter[Any] | None:
    """Make the validator for what a generator route says that it yields; None if it does not say, or says events."""
    from pydantic import TypeAdapter

    try:
        annotation = typing.get_type_hints(function, include_extras=True).get("return")
    except NameError:
        return None  # a name of an inner scope: FastAPI cannot resolve it either
    if typing.get_origin(annotation) not in _STREAMS:
        return None
    item = next(iter(typing.get_args(annotation)), Any)
    if inspect.isclass(item) and issubclass(item, ServerSentEvent | unbroken.wire.ServerSentEvent):
        return None
    return TypeAdapter(item)
