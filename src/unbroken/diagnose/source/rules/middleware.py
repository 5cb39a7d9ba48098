"""SSE014 and SSE015: middleware around streams."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import libcst as cst

from unbroken.diagnose.source.calls import argument
from unbroken.diagnose.source.module import SourceModule
from unbroken.diagnose.source.rules.headers import header_nodes
from unbroken.diagnose.source.rules.rule import Problem, Rule, Subject

__all__ = ["RULES"]

BASE: Final = frozenset({
    "starlette.middleware.base.BaseHTTPMiddleware", "fastapi.middleware.base.BaseHTTPMiddleware",
})  # fmt: skip
GZIP: Final = frozenset({"starlette.middleware.gzip.GZipMiddleware", "fastapi.middleware.gzip.GZipMiddleware"})
BROTLI: Final = frozenset({"brotli_asgi.BrotliMiddleware", "brotli_middleware.BrotliMiddleware"})
COMPRESSORS: Final = frozenset({
    "gzip.compress", "gzip.GzipFile", "zlib.compress", "zlib.compressobj", "brotli.compress", "brotli.Compressor",
    "zstandard.ZstdCompressor", "compression.zstd.compress",
})  # fmt: skip
ADDS: Final = frozenset({"add_middleware", "Middleware"})


def _base_http(subject: Subject) -> Iterator[Problem]:
    module = subject.module
    if not subject.streams:
        return
    for function in module.find(cst.FunctionDef):
        if _is_http_middleware(module, function):
            yield Problem(function, _base_text(module, function, f"`{function.name.value}`"))
    for kind in module.find(cst.ClassDef):
        if any(module.name(base.value) in BASE for base in kind.bases):
            yield Problem(kind, _base_text(module, kind, f"`{kind.name.value}`"))
    for call, kind_name in _added(module):
        if kind_name in BASE:
            yield Problem(call, _base_text(module, call, "`BaseHTTPMiddleware`"))


def _is_http_middleware(module: SourceModule, function: cst.FunctionDef) -> bool:
    for decorator in function.decorators:
        call = decorator.decorator
        if isinstance(call, cst.Call) and isinstance(call.func, cst.Attribute) and call.func.attr.value == "middleware":
            return module.text_of(argument(call, "middleware_type", 0)) == "http"
    return False


def _base_text(module: SourceModule, node: cst.CSTNode, name: str) -> str:
    if any(found.attr.value == "body_iterator" for found in module.find(cst.Attribute, within=node)):
        return (
            f"{name} takes the body of every response into its own hands (`body_iterator`): a stream is collected or "
            "handed on in other pieces. Let responses with `text/event-stream` pass, in a middleware of plain ASGI"
        )
    return (
        f"{name} is a `BaseHTTPMiddleware` around this module's streams: one that failed looks complete to its "
        "client, and a generator's cleanup is left to the garbage collector. Write it as a class with `async def "
        "__call__(self, scope, receive, send)`"
    )


def _added(module: SourceModule) -> Iterator[tuple[cst.Call, str | None]]:
    """Yield the calls that add a middleware, with the middleware's full name."""
    for call in module.find(cst.Call):
        name = call.func.attr.value if isinstance(call.func, cst.Attribute) else module.name(call.func)
        if name is not None and name.rpartition(".")[2] in ADDS:
            kind = argument(call, "middleware_class", 0) or argument(call, "cls", 0)
            yield call, None if kind is None else module.name(kind)


def _compressed(subject: Subject) -> Iterator[Problem]:
    module = subject.module
    if not subject.streams:
        return
    yield from _encoded(subject)
    if module.guarded:
        return
    for call, name in _added(module):
        problem = _compresses(module, call, name)
        if problem is not None:
            yield Problem(call, problem)
    for call in module.find(cst.Call):
        if module.called(call) in COMPRESSORS and _in_middleware(module, call):
            yield Problem(
                call,
                "This middleware compresses event streams as well: a compressor holds events back until it has "
                "enough of them. Let responses with `text/event-stream` pass",
            )


def _compresses(module: SourceModule, call: cst.Call, name: str | None) -> str | None:
    if name in BROTLI and argument(call, "excluded_handlers") is None:
        return (
            "`BrotliMiddleware` compresses event streams, too. Name the routes that stream in its `excluded_handlers`"
        )
    excluded = argument(call, "exclude_content_types")
    if name in GZIP and excluded is not None and _lacks_event_stream(module, excluded):
        return (
            "`exclude_content_types` takes the place of Starlette's own list, which has `text/event-stream`: with "
            "this one "
            'event streams are compressed. Add `"text/event-stream"`'
        )
    return None


def _lacks_event_stream(module: SourceModule, excluded: cst.BaseExpression) -> bool:
    value = module.value(excluded)
    if not isinstance(value, cst.Tuple | cst.List | cst.Set):
        return False
    texts = [module.text_of(element.value) for element in value.elements]
    return None not in texts and not any(text in {"text/event-stream", "text/*"} for text in texts)


def _in_middleware(module: SourceModule, call: cst.Call) -> bool:
    """Say whether a call stands in a middleware of this module that knows nothing of event streams."""
    for outer in module.around(call):
        is_one = isinstance(outer, cst.FunctionDef) and _is_http_middleware(module, outer)
        if is_one or (isinstance(outer, cst.ClassDef) and "Middleware" in outer.name.value):
            return "event-stream" not in module.code(outer)
    return False


def _encoded(subject: Subject) -> Iterator[Problem]:
    for stream in subject.streams:
        node = (header_nodes(subject.module, stream) or {}).get("content-encoding")
        if node is not None:
            yield Problem(
                node,
                "An event stream with a `Content-Encoding` reaches its client late, or not at all: proxies and clients "
                "wait for whole blocks of compressed data. Leave the encoding out",
            )


RULES: Final = (
    Rule(
        "SSE014",
        "base-http-middleware",
        "middleware-breaks-stream",
        'A `BaseHTTPMiddleware` or `@app.middleware("http")` in a module that streams',
        _base_http,
        limits=(
            "Only in the module that has the streams: a middleware in a module of its own is not seen, nor is one "
            "of another package that derives from `BaseHTTPMiddleware`. With the Starlette of today such a "
            "middleware lets events and a client's leaving pass; what it breaks is the end of a stream that failed, "
            "and the cleanup. An `EventStreamGuard` inside of it changes neither."
        ),
    ),
    Rule(
        "SSE015",
        "compressed-stream",
        "compressed-stream",
        "A middleware or a header that compresses event streams",
        _compressed,
        limits=(
            "Starlette's own `GZipMiddleware` passes as long as it has its own list of excluded types: from 0.46 on "
            "that holds event streams; before, it swallowed them. starlette-compress passes, for it leaves them "
            "alone. Only middleware that is added or written in the module with the streams is seen. An "
            "`EventStreamGuard` takes `Accept-Encoding` off the request, so a guarded application passes."
        ),
    ),
)
