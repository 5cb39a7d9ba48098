"""SSE012, SSE013 and SSE019: the headers of a stream."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final

import libcst as cst

from unbroken.diagnose.source.calls import argument, is_fiction
from unbroken.diagnose.source.module import SourceModule
from unbroken.diagnose.source.rules.rule import Problem, Rule, Subject
from unbroken.diagnose.source.streams import EVENT_STREAM, RESPONSES, Kind, Stream

__all__ = ["RULES", "header_nodes"]

WANTED: Final = {"cache-control": "`Cache-Control: no-store`", "x-accel-buffering": "`X-Accel-Buffering: no`"}
WITHOUT: Final = {
    "cache-control": "a cache may keep the stream",
    "x-accel-buffering": "nginx collects it before it sends any of it",
}
OF_CONNECTION: Final = frozenset({"connection", "keep-alive", "transfer-encoding", "proxy-connection", "upgrade"})
"""RFC 9113 8.2.2: a message of HTTP/2 with one of these is malformed."""


def _missing(subject: Subject) -> Iterator[Problem]:
    module = subject.module
    for stream in subject.streams:
        if module.guarded or not isinstance(stream.at, cst.Call) or not _sets_none(module, stream):
            continue
        known = header_nodes(module, stream)
        missing = [name for name in WANTED if known is not None and name not in known]
        if missing:
            yield Problem(
                stream.at,
                f"The response lacks {' and '.join(WANTED[name] for name in missing)}: "
                f"{', and '.join(WITHOUT[name] for name in missing)}. Add what is missing, or return "
                "`unbroken.EventSourceResponse`, which has it",
            )


def _sets_none(module: SourceModule, stream: Stream) -> bool:
    """Say whether the response is one that sets no such headers; what a subclass does is not looked at."""
    known = stream.kind in {Kind.STARLETTE, Kind.FASTAPI} and module.called(stream.at) in RESPONSES
    return known and not is_fiction(module, stream)


def header_nodes(module: SourceModule, stream: Stream) -> Mapping[str, cst.CSTNode] | None:
    """Return where each header of a stream's response is set, by lower-case name; None if that cannot be told."""
    if not isinstance(stream.at, cst.Call):
        return {}
    given = argument(stream.at, "headers", 2)
    if any(arg.star for arg in stream.at.args):
        return None
    named = {} if given is None else _of_dict(module, given)
    return None if named is None else {**named, **_later(module, stream.at)}


def _of_dict(module: SourceModule, expression: cst.BaseExpression) -> dict[str, cst.CSTNode] | None:
    value = module.value(expression)
    if not isinstance(value, cst.Dict):
        return {} if isinstance(value, cst.Name) and value.value == "None" else None
    found: dict[str, cst.CSTNode] = {}
    for element in value.elements:
        if isinstance(element, cst.DictElement):
            name = module.text_of(element.key)
            if name is None:
                return None
            found[name.lower()] = element.key
        else:
            inner = _of_dict(module, element.value)
            if inner is None:
                return None
            found.update(inner)
    return found


def _later(module: SourceModule, response: cst.Call) -> dict[str, cst.CSTNode]:
    """Return what `response.headers["…"] = …` sets after the response was made."""
    function = module.function_around(response)
    found: dict[str, cst.CSTNode] = {}
    for target in [] if function is None else module.find(cst.AssignTarget, within=function.body, own=True):
        place = target.target
        if not (isinstance(place, cst.Subscript) and isinstance(place.value, cst.Attribute)):
            continue
        made = place.value.value
        if place.value.attr.value == "headers" and module.value(made) is response:
            key = place.slice[0].slice
            name = module.text_of(key.value) if isinstance(key, cst.Index) else None
            if name is not None:
                found[name.lower()] = place
    return found


def _connection(subject: Subject) -> Iterator[Problem]:
    module = subject.module
    for stream in subject.streams:
        if module.guarded or stream.kind is Kind.SSE_STARLETTE:
            continue
        for name, node in _known(module, stream):
            if name in OF_CONNECTION:
                yield Problem(
                    node,
                    f"`{name.title()}` belongs to one HTTP/1.1 connection, which is the server's affair. HTTP/2 "
                    "forbids it, and Safari drops a stream that has it. Leave it out",
                )


def _known(module: SourceModule, stream: Stream) -> list[tuple[str, cst.CSTNode]]:
    """Return the headers that are set in plain sight, even where others may be hidden."""
    if not isinstance(stream.at, cst.Call):
        return []
    given = argument(stream.at, "headers", 2)
    found = [] if given is None else list(_plain(module, given))
    return [*found, *_later(module, stream.at).items()]


def _plain(module: SourceModule, expression: cst.BaseExpression) -> Iterator[tuple[str, cst.CSTNode]]:
    value = module.value(expression)
    for element in value.elements if isinstance(value, cst.Dict) else ():
        if isinstance(element, cst.DictElement):
            name = module.text_of(element.key)
            if name is not None:
                yield name.lower(), element.key
        else:
            yield from _plain(module, element.value)


def _content_type(subject: Subject) -> Iterator[Problem]:
    for stream in subject.streams:
        kind = stream.media_type
        if stream.kind is not Kind.STARLETTE or (kind or "").startswith(EVENT_STREAM):
            continue
        if kind is None and _is_open(subject.module, stream):
            continue
        said = "no content type" if kind is None else f"the content type `{kind}`"
        yield Problem(
            stream.at,
            f"What is streamed here are events, and the response has {said}: `EventSource` refuses it. "
            f'Write `media_type="{EVENT_STREAM}"`',
        )


def _is_open(module: SourceModule, stream: Stream) -> bool:
    """Say whether a content type may come from elsewhere: from a parameter, or with another response's headers."""
    headers = stream.options.get("headers")
    return "media_type" in stream.options or (headers is not None and not isinstance(module.value(headers), cst.Dict))


RULES: Final = (
    Rule(
        "SSE012",
        "missing-headers",
        "missing-headers",
        "A `StreamingResponse` of events without `Cache-Control` or `X-Accel-Buffering`",
        _missing,
        fixable=True,
        limits=(
            "Headers that come from elsewhere (a parameter, a call, a subclass) are taken to be complete. A "
            "middleware or a proxy that adds them is not seen: put the rule on `ignore` then. sse-starlette and "
            "declared routes of fastapi.sse set both; an `EventStreamGuard` adds them."
        ),
    ),
    Rule(
        "SSE013",
        "connection-header",
        "connection-header",
        "A header of the connection (`Connection`, `Keep-Alive`, `Transfer-Encoding`) on a stream",
        _connection,
        fixable=True,
        limits=(
            "Headers that are written out in the module. sse-starlette sends `Connection` of itself, whatever it is "
            "given: its responses are not looked at. An `EventStreamGuard` takes them off on HTTP/2, so a guarded "
            "application passes."
        ),
    ),
    Rule(
        "SSE019",
        "wrong-content-type",
        "not-an-event-stream",
        "Events that are sent with another content type than `text/event-stream`, or with none",
        _content_type,
        fixable=True,
        limits="Only generators in the same module whose events are written by hand, for that is how they are known.",
    ),
)
