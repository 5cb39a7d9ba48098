"""How long a generator can be silent."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

import libcst as cst

from unbroken.diagnose.source.blocking import blocking_calls, iterated
from unbroken.diagnose.source.calls import argument, content_of, generators, is_elsewhere, last_name, number
from unbroken.diagnose.source.flow import Way, Ways, does, nothing_came
from unbroken.diagnose.source.module import SourceModule
from unbroken.diagnose.source.streams import Stream
from unbroken.diagnose.source.text import pieces

__all__ = ["LONGEST", "silence"]

LONGEST: Final = 15.0
"""Seconds of silence that every hop allows."""
SLEEPS: Final = frozenset({"asyncio.sleep", "anyio.sleep", "trio.sleep", "time.sleep"})
SCOPES: Final = frozenset({
    "asyncio.timeout", "anyio.move_on_after", "anyio.fail_after", "async_timeout.timeout", "trio.move_on_after",
    "trio.fail_after",
})  # fmt: skip
QUICK: Final = frozenset({
    "aclose", "acquire_nowait", "cancel", "checkpoint", "close", "commit", "delete", "disconnect", "execute", "exists",
    "expire", "fetch", "fetchall", "fetchone", "fetchrow", "fetchval", "flush", "hget", "hgetall", "hset", "incr",
    "is_disconnected", "lrange", "notify", "notify_all", "publish", "put", "psubscribe", "refresh", "release",
    "rollback", "scalar", "scalar_one_or_none", "scalars", "set", "smembers", "subscribe", "unsubscribe", "xrange",
    "zrange",
})  # fmt: skip
"""Awaits that nobody takes for a wait: the answer of a local store, a word to a broker."""
LOOK_UP: Final = re.compile(
    r"(get|fetch|find|load|list|count|check|save|update|insert|add|remove|delete|is|has|query|select)_"
    r"(?!.*(next|message|event|chunk|token|stream|response|answer|reply|completion|result|generat|job|task|update))\w+"
)
"""Names of questions to a store; what a producer is asked for comes when it comes."""
HEARTBEATS: Final = ("heartbeat", "keepalive", "keep_alive", "ping")


def silence(module: SourceModule, stream: Stream) -> cst.CSTNode | None:
    """Return where the stream's generators can be for long without an event; None if nowhere, or if it is unknown."""
    functions = generators(module, stream)
    if _is_wrapped(module, stream) or any(_beats(module, function) for function in _near(module, stream, functions)):
        return None
    seen: set[cst.FunctionDef] = set()
    for function in functions:
        found = next(_waits(module, function, seen), None) or _round_without_event(module, function)
        if found is not None:
            return found
    return None


def _near(module: SourceModule, stream: Stream, functions: list[cst.FunctionDef]) -> list[cst.FunctionDef]:
    """Return the functions in which heartbeats may be sent: the generators, and what the endpoint has inside."""
    inside = [] if stream.endpoint is None else list(module.find(cst.FunctionDef, within=stream.endpoint))
    return [*functions, *inside]


def _beats(module: SourceModule, function: cst.FunctionDef) -> bool:
    """Say whether a generator sends heartbeats of its own."""
    if any(word in function.name.value.lower() for word in HEARTBEATS):
        return True
    return any(
        _is_beat(module, found.value)
        for loop in module.find(cst.While, cst.For, within=function.body, own=True)
        for found in module.find(cst.Yield, within=loop.body, own=True)
    )


def _is_beat(module: SourceModule, value: object) -> bool:
    if not isinstance(value, cst.BaseExpression):
        return False
    text = pieces(module, value)
    if text and isinstance(text[0], str) and text[0].startswith(":"):
        return True
    return isinstance(value, cst.Call) and argument(value, "comment") is not None


def _is_wrapped(module: SourceModule, stream: Stream) -> bool:
    """Say whether a function of another module stands between the generator and the response."""
    content = content_of(stream)
    value = None if content is None else module.value(content)
    if not isinstance(value, cst.Call) or module.function(value.func) is not None:
        return False
    return any(isinstance(inner, cst.Call) for inner in module.find(cst.Call, within=value))


def _waits(module: SourceModule, function: cst.FunctionDef, seen: set[cst.FunctionDef]) -> Iterator[cst.CSTNode]:
    """Yield the places of `function`, and of what it calls, that have no bound of time."""
    if function in seen:
        return
    seen.add(function)
    for node in module.find(cst.Await, cst.For, cst.With, within=function.body, own=True):
        if not isinstance(node, cst.Await | cst.For | cst.With) or _aside(module, node):
            continue
        if not _is_bounded(module, node, seen):
            yield node
    if function.asynchronous is None:
        for call, _ in blocking_calls(module, function):
            if isinstance(call, cst.Call) and not _timed(module, call) and not _aside(module, call):
                yield call


def _aside(module: SourceModule, node: cst.CSTNode) -> bool:
    """Say whether `node` is not on the stream's way: in a cleanup, for another task, or within a timeout."""
    inner = node
    for outer in module.around(node):
        if isinstance(outer, cst.FunctionDef):
            return is_elsewhere(module, node)
        if isinstance(outer, cst.Finally | cst.ExceptHandler):
            return True
        if isinstance(outer, cst.With) and inner is outer.body and any(_limits(module, i.item) for i in outer.items):
            return True
        inner = outer
    return False


def _limits(module: SourceModule, scope: cst.BaseExpression) -> bool:
    if not isinstance(scope, cst.Call) or module.called(scope) not in SCOPES:
        return False
    return _is_short(module, argument(scope, "delay", 0))


def _is_short(module: SourceModule, seconds: cst.BaseExpression | None) -> bool:
    """Say whether a time is short enough; one that cannot be told is taken to be."""
    if seconds is None or (isinstance(seconds, cst.Name) and seconds.value == "None"):
        return False
    known = number(module, seconds)
    return known is None or known <= LONGEST


def _is_bounded(module: SourceModule, node: cst.Await | cst.For | cst.With, seen: set[cst.FunctionDef]) -> bool:
    if isinstance(node, cst.With):
        return node.asynchronous is None or not _opens_response(node)
    if isinstance(node, cst.For):
        return _is_bounded_loop(module, node, seen)
    return _is_bounded_await(module, node.expression, seen)


def _opens_response(node: cst.With) -> bool:
    return any(last_name(item.item) in {"stream", "post", "request"} for item in node.items)


def _is_bounded_loop(module: SourceModule, loop: cst.For, seen: set[cst.FunctionDef]) -> bool:
    if loop.asynchronous is None:
        return iterated(module, loop) is None
    source = module.value(loop.iter)
    return isinstance(source, cst.Call) and _calls_bounded(module, source, seen)


def _calls_bounded(module: SourceModule, call: cst.Call, seen: set[cst.FunctionDef]) -> bool:
    function = module.function(call.func)
    return function is not None and next(_waits(module, function, seen), None) is None


def _is_bounded_await(module: SourceModule, what: cst.BaseExpression, seen: set[cst.FunctionDef]) -> bool:
    if not isinstance(what, cst.Call):
        return True
    if module.called(what) in SLEEPS:
        return _is_short(module, argument(what, "delay", 0))
    name = last_name(what)
    if name == "wait_for":
        return _is_short(module, argument(what, "timeout", 1))
    if module.function(what.func) is not None:
        return _calls_bounded(module, what, seen)
    if name == "get" and argument(what, "", 0) is not None:
        return True  # a look-up by key; a queue's has no argument
    return name in QUICK or LOOK_UP.fullmatch(name or "") is not None or _timed(module, what)


def _timed(module: SourceModule, call: cst.Call) -> bool:
    """Say whether a call has a timeout that is short."""
    if module.called(call) in SLEEPS:
        return _is_short(module, argument(call, "seconds", 0))
    timeout = argument(call, "timeout")
    return timeout is not None and _is_short(module, timeout)


def _round_without_event(module: SourceModule, function: cst.FunctionDef) -> cst.CSTNode | None:
    """Return a `while` loop that yields, and that can go round and round without."""
    ways = Ways(lambda node: does(module, node, cst.Yield), lambda _, handler: nothing_came(module, handler))
    for loop in module.find(cst.While, within=function.body, own=True):
        if does(module, loop.body, cst.Yield) and ways.through(loop.body) & {Way.ON, Way.AGAIN}:
            return loop
    return None
