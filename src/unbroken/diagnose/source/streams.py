"""Where a module answers with an event stream, and what produces it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

import libcst as cst

from unbroken.diagnose.source.module import SourceModule

__all__ = ["ROUTES", "Kind", "Stream", "is_generator", "streams"]


class Kind(StrEnum):
    """Whose response it is: what a generator sees of its client's leaving depends on it."""

    STARLETTE = "starlette"
    SSE_STARLETTE = "sse-starlette"
    FASTAPI = "fastapi.sse"
    UNBROKEN = "unbroken"
    COMPAT = "unbroken.compat"
    UNKNOWN = "unknown"
    """A generator of events whose response is in another module."""


RESPONSES: Final = {
    "starlette.responses.StreamingResponse": Kind.STARLETTE,
    "fastapi.responses.StreamingResponse": Kind.STARLETTE,
    "starlette.responses.EventSourceResponse": Kind.STARLETTE,  # the import that people write and nobody has
    "starlette.sse.EventSourceResponse": Kind.STARLETTE,
    "fastapi.EventSourceResponse": Kind.STARLETTE,
    "sse_starlette.EventSourceResponse": Kind.SSE_STARLETTE,
    "sse_starlette.sse.EventSourceResponse": Kind.SSE_STARLETTE,
    "fastapi.sse.EventSourceResponse": Kind.FASTAPI,
    "fastapi.responses.EventSourceResponse": Kind.FASTAPI,
    "unbroken.EventSourceResponse": Kind.UNBROKEN,
    "unbroken.stream.response.EventSourceResponse": Kind.UNBROKEN,
    "unbroken.compat.starlette.EventSourceResponse": Kind.COMPAT,
    "unbroken.compat.sse_starlette.EventSourceResponse": Kind.COMPAT,
    "unbroken.compat.sse_starlette.sse.EventSourceResponse": Kind.COMPAT,
    "unbroken.compat.fastapi.EventSourceResponse": Kind.COMPAT,
}
ANY_CONTENT: Final = frozenset(
    {
        "starlette.responses.StreamingResponse",
        "fastapi.responses.StreamingResponse",
        "unbroken.compat.starlette.StreamingResponse",
    }
)
"""Responses that stream anything; only their content type makes an event stream of them."""
EVENTS: Final = frozenset({
    "sse_starlette.ServerSentEvent", "sse_starlette.sse.ServerSentEvent", "sse_starlette.event.ServerSentEvent",
    "sse_starlette.JSONServerSentEvent", "fastapi.sse.ServerSentEvent", "fastapi.sse.format_sse_event",
    "unbroken.ServerSentEvent",
})  # fmt: skip
RESPONSE_WORDS: Final = frozenset(name.rpartition(".")[2] for name in RESPONSES)
EVENT_WORDS: Final = frozenset(name.rpartition(".")[2] for name in EVENTS)
ROUTES: Final = frozenset({"get", "post", "put", "patch", "delete", "head", "options", "route", "api_route"})
EVENT_STREAM: Final = "text/event-stream"
FIELDS: Final = ("data:", "event:", "id:", "retry:", ":")
"""How a frame that is written by hand begins."""


@dataclass(frozen=True, slots=True, eq=False)
class Stream:
    """One response with an event stream, or a generator of events whose response is elsewhere."""

    kind: Kind
    at: cst.CSTNode
    """The response's call; with fastapi.sse's `response_class` the generator; else the generator."""
    generator: cst.FunctionDef | cst.GeneratorExp | None
    """None where it comes from another module."""
    endpoint: cst.FunctionDef | None
    """The function that makes the response."""
    options: Mapping[str, cst.BaseExpression]
    """The response's keyword arguments."""
    media_type: str | None
    reach: tuple[cst.FunctionDef, ...]
    """The generator and this module's functions that it calls or iterates, or that are passed on the way."""

    @property
    def function(self) -> cst.FunctionDef | None:
        """The generator, where it is a function."""
        return self.generator if isinstance(self.generator, cst.FunctionDef) else None

    @property
    def is_async(self) -> bool:
        """Whether the generator is an asynchronous one."""
        return self.function is not None and self.function.asynchronous is not None


def is_generator(module: SourceModule, function: cst.FunctionDef) -> bool:
    """Say whether calling `function` makes a generator."""
    return any(True for _ in module.find(cst.Yield, within=function.body, own=True))


def streams(module: SourceModule) -> list[Stream]:
    """Return the event streams of `module` in source order, those of other modules' responses last."""
    found = [*_answered(module), *_declared(module)]
    known = {function for stream in found for function in stream.reach}
    return found + [stream for stream in _orphans(module) if stream.function not in known]


def _answered(module: SourceModule) -> Iterator[Stream]:
    own = {kind.name.value for kind in module.find(cst.ClassDef) if any(map(_may_be_one(module), kind.bases))}
    for call in module.find(cst.Call):
        if module.spelled(call) not in own | RESPONSE_WORDS:
            continue
        name, own_type = _response(module, call)
        stream = None if name is None else _stream(module, call, name, own_type)
        if stream is not None:
            yield stream


def _may_be_one(module: SourceModule) -> Callable[[cst.Arg], bool]:
    return lambda base: module.spelled(base.value) in RESPONSE_WORDS


def _stream(module: SourceModule, call: cst.Call, name: str, own_type: str | None) -> Stream | None:
    options = {arg.keyword.value: arg.value for arg in call.args if arg.keyword is not None}
    content = next((arg.value for arg in call.args if arg.keyword is None and not arg.star), options.get("content"))
    reach = _reach(module, content)
    media_type: str | None = EVENT_STREAM
    if name in ANY_CONTENT:
        media_type = _media_type(module, call, options) or own_type
        if not _streams_events(module, media_type, reach):
            return None
    generator = _generator(module, content, reach)
    return Stream(RESPONSES[name], call, generator, module.function_around(call), options, media_type, reach)


def _streams_events(module: SourceModule, media_type: str | None, reach: tuple[cst.FunctionDef, ...]) -> bool:
    if media_type is not None and media_type.startswith(EVENT_STREAM):
        return True
    # Frames of an event stream under another name are one all the same: the name is what has to be mended.
    return _frames(module, reach)


def _response(module: SourceModule, call: cst.Call) -> tuple[str | None, str | None]:
    """Return the known response that `call` makes, and the content type that a subclass of this module gives it."""
    name = module.called(call)
    if name in RESPONSES:
        return name, None
    kind = module.value(call.func)
    if not isinstance(kind, cst.ClassDef):
        return None, None
    bases = (module.name(base.value) for base in kind.bases)
    known = next((base for base in bases if base in RESPONSES), None)
    return known, _class_variable(module, kind, "media_type")


def _class_variable(module: SourceModule, kind: cst.ClassDef, name: str) -> str | None:
    for target in module.find(cst.Name, within=kind.body, own=True):
        value = module.definition(target)
        if target.value == name and value is not target:
            return module.text_of(value)
    return None


def _media_type(module: SourceModule, call: cst.Call, options: Mapping[str, cst.BaseExpression]) -> str | None:
    positional = [arg.value for arg in call.args if arg.keyword is None and not arg.star]
    given = options.get("media_type") or (positional[3] if len(positional) > 3 else None)
    return module.text_of(given) or _header(module, options.get("headers"), "content-type")


def _header(module: SourceModule, headers: cst.BaseExpression | None, name: str) -> str | None:
    value = None if headers is None else module.value(headers)
    if isinstance(value, cst.Dict):
        for element in value.elements:
            if isinstance(element, cst.DictElement) and (module.text_of(element.key) or "").lower() == name:
                return module.text_of(element.value)
    return None


def _declared(module: SourceModule) -> Iterator[Stream]:
    """Yield FastAPI's generator routes: `@app.get(..., response_class=EventSourceResponse)`."""
    for function in module.find(cst.FunctionDef):
        for decorator in function.decorators:
            call = decorator.decorator
            if not (isinstance(call, cst.Call) and isinstance(call.func, cst.Attribute)):
                continue
            options = {arg.keyword.value: arg.value for arg in call.args if arg.keyword is not None}
            kind = RESPONSES.get(module.name(options["response_class"]) or "") if "response_class" in options else None
            if (
                call.func.attr.value in ROUTES
                and kind in {Kind.FASTAPI, Kind.COMPAT}
                and is_generator(module, function)
            ):
                yield Stream(kind, function, function, function, {}, EVENT_STREAM, tuple(module.reach(function)))


def _orphans(module: SourceModule) -> Iterator[Stream]:
    for function in module.find(cst.FunctionDef):
        if is_generator(module, function) and _frames(module, (function,)):
            yield Stream(Kind.UNKNOWN, function, function, None, {}, None, tuple(module.reach(function)))


def _frames(module: SourceModule, functions: tuple[cst.FunctionDef, ...]) -> bool:
    """Say whether one of `functions` yields events, as values or written by hand."""
    return any(
        _is_frame(module, found.value)
        for function in functions
        for found in module.find(cst.Yield, within=function.body, own=True)
    )


def _is_frame(module: SourceModule, value: object) -> bool:
    if not isinstance(value, cst.BaseExpression):
        return False
    if module.spelled(value) in EVENT_WORDS and module.called(value) in EVENTS:
        return True
    return any(text.startswith(FIELDS[:4]) for text in _beginnings(module, value))


def _beginnings(module: SourceModule, value: cst.BaseExpression) -> Iterator[str]:
    """Yield the constant text with which a `str` or `bytes` expression begins."""
    if isinstance(value, cst.FormattedString) and value.parts:
        first = value.parts[0]
        if isinstance(first, cst.FormattedStringText):
            yield first.value
    elif isinstance(value, cst.BinaryOperation):
        yield from _beginnings(module, value.left)
    elif isinstance(value, cst.Call) and isinstance(value.func, cst.Attribute):
        yield from _beginnings(module, value.func.value)  # "…".encode(), "data: {}".format(…)
    elif isinstance(value, cst.SimpleString | cst.ConcatenatedString):
        constant = value.evaluated_value
        yield constant.decode("utf-8", "replace") if isinstance(constant, bytes) else constant or ""


def _reach(module: SourceModule, content: cst.BaseExpression | None) -> tuple[cst.FunctionDef, ...]:
    """Return the functions that a response's content comes from: `heartbeats(events())` has two, and what they call."""
    value = None if content is None else module.value(content)
    found: dict[cst.FunctionDef, None] = {}
    for node in [] if value is None else [value, *module.find(cst.Call, within=value)]:
        function = module.function(node.func) if isinstance(node, cst.Call) else None
        if function is not None:
            found.update(dict.fromkeys(module.reach(function)))
    return tuple(found)


def _generator(
    module: SourceModule, content: cst.BaseExpression | None, reach: tuple[cst.FunctionDef, ...]
) -> cst.FunctionDef | cst.GeneratorExp | None:
    value = None if content is None else module.value(content)
    if isinstance(value, cst.GeneratorExp):
        return value
    return next((function for function in reach if is_generator(module, function)), None)
