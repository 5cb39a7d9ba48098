"""SSE003, SSE005 and SSE021: exceptions at a stream's yields and awaits."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Final

import libcst as cst
from libcst.helpers import get_full_name_for_node

from unbroken.diagnose.source.calls import generators, is_fiction, last_name, origin
from unbroken.diagnose.source.flow import Way, Ways, caught, does, loops_around, types_in
from unbroken.diagnose.source.module import SourceModule
from unbroken.diagnose.source.rules.rule import Problem, Rule, Subject
from unbroken.diagnose.source.streams import Kind, Stream

__all__ = ["RULES"]

RESETS: Final = frozenset({
    "ConnectionResetError", "BrokenPipeError", "ConnectionError", "ConnectionAbortedError",
    "starlette.requests.ClientDisconnect", "fastapi.requests.ClientDisconnect", "unbroken.ClientDisconnected",
    "unbroken.StreamClosed",
})  # fmt: skip
CANCELS: Final = frozenset({
    "BaseException", "asyncio.CancelledError", "asyncio.exceptions.CancelledError", "anyio.get_cancelled_exc_class",
    "concurrent.futures.CancelledError",
})  # fmt: skip
ERRORS: Final = frozenset({"Exception", "OSError", "IOError"}) | RESETS
"""What holds `ClientDisconnected`, which unbroken raises at the `yield`."""
HARMLESS: Final = frozenset({"is_disconnected", "sleep", "get", "get_nowait", "wait", "put", "wait_for", "receive"})
"""Awaits that never fail for a connection of their own."""
KNOWN: Final = frozenset({
    "anyio", "asyncio", "collections", "contextlib", "dataclasses", "datetime", "fastapi", "itertools", "json",
    "logging", "loguru", "math", "orjson", "os", "pydantic", "queue", "random", "sse_starlette", "starlette",
    "structlog", "sys", "time", "typing", "unbroken", "uuid",
})  # fmt: skip
"""Packages whose calls lose no connection in a generator."""
PLAIN: Final = frozenset({"range", "enumerate", "zip", "reversed", "sorted", "items", "values", "keys", "count"})
FINALLY_TEXT: Final = (
    "A `yield` in a `finally` is an error when the client has left (`async generator ignored GeneratorExit`): the "
    "generator is being closed. Put the last event after the loop, and only the cleanup here"
)
OURS: Final = frozenset({Kind.UNBROKEN, Kind.COMPAT})
HTTP_EXCEPTIONS: Final = frozenset({
    "fastapi.HTTPException", "fastapi.exceptions.HTTPException", "starlette.exceptions.HTTPException",
    "starlette.exceptions.WebSocketException",
})  # fmt: skip


def _never_fires(subject: Subject) -> Iterator[Problem]:
    module = subject.module
    for stream in subject.streams:
        if stream.kind in {*OURS, Kind.UNKNOWN} or is_fiction(module, stream):
            continue
        for attempt, handler in _handlers(module, stream):
            names = caught(module, handler)
            if names and names <= RESETS and does(module, attempt.body, cst.Yield) and not _may_reset(module, attempt):
                yield Problem(handler, _never_text(module, stream, handler))


def _never_text(module: SourceModule, stream: Stream, handler: cst.ExceptHandler) -> str:
    name = "it" if handler.type is None else f"`{module.code(handler.type)}`"
    return (
        f"{name} is never raised at a `yield` of a stream of {stream.kind.value}: when the client leaves, the "
        "generator is cancelled at an `await`, or closed. Clean up in a `finally`, or return "
        "`unbroken.EventSourceResponse`, which raises `ClientDisconnected`, a `ConnectionResetError`, there"
    )


def _may_reset(module: SourceModule, attempt: cst.Try | cst.TryStar) -> bool:
    """Say whether something in the block may lose a connection of its own, or says that it has."""
    if does(module, attempt.body, cst.Raise) or any(map(partial(_is_foreign, module), _calls(module, attempt))):
        return True
    for node in module.find(cst.Await, cst.For, cst.With, within=attempt.body, own=True):
        if isinstance(node, cst.Await) and not _is_harmless(module, node.expression):
            return True
        if isinstance(node, cst.For) and not _is_harmless_loop(module, node):
            return True
        if isinstance(node, cst.With) and node.asynchronous is not None:
            return True
    return False


def _calls(module: SourceModule, attempt: cst.Try | cst.TryStar) -> Iterator[cst.Call]:
    return module.find(cst.Call, within=attempt.body, own=True)


def _is_foreign(module: SourceModule, call: cst.Call) -> bool:
    """Say whether a call is of another package, from which nothing is known."""
    name = origin(module, call.func) or ""
    root = name.partition(".")[0]
    return root in _packages(module) and root not in KNOWN


def _packages(module: SourceModule) -> set[str]:
    found = {
        (get_full_name_for_node(alias.name) or "").partition(".")[0]
        for statement in module.find(cst.Import)
        for alias in statement.names
    }
    origins = (statement.module for statement in module.find(cst.ImportFrom) if not statement.relative)
    return found | {(get_full_name_for_node(node) or "").partition(".")[0] for node in origins if node is not None}


def _is_harmless(module: SourceModule, what: cst.BaseExpression) -> bool:
    if isinstance(what, cst.Call) and (function := module.function(what.func)) is not None:
        return not any(True for _ in module.find(cst.Await, cst.With, within=function.body))
    return last_name(what) in HARMLESS


def _is_harmless_loop(module: SourceModule, loop: cst.For) -> bool:
    if not isinstance(loop.iter, cst.Call):
        return loop.asynchronous is None
    return last_name(loop.iter) in PLAIN


def _handlers(module: SourceModule, stream: Stream) -> Iterator[tuple[cst.Try, cst.ExceptHandler]]:
    for function in generators(module, stream):
        for attempt in module.find(cst.Try, within=function.body, own=True):
            for handler in attempt.handlers:
                yield attempt, handler


def _swallows(subject: Subject) -> Iterator[Problem]:
    module = subject.module
    for stream in subject.streams:
        for attempt, handler in _handlers(module, stream):
            what = _swallowed(module, stream, attempt, handler)
            if what is not None and _goes_on(module, attempt, handler.body):
                yield Problem(handler, _swallowed_text(what))
            elif what is not None and _yields_after_close(module, handler):
                yield Problem(handler, _yield_text(module, handler))
        yield from _suppressed(module, stream)
        yield from _last_words(module, stream)


def _swallowed(module: SourceModule, stream: Stream, attempt: cst.Try, handler: cst.ExceptHandler) -> str | None:
    """Return what a handler takes of the stream's end; None if it takes nothing, or hands it on."""
    if does(module, handler.body, cst.Raise) or _earlier(module, attempt, handler):
        return None
    names = caught(module, handler)
    if (handler.type is None or names & CANCELS) and _is_interrupted(module, attempt.body, names):
        return "the cancellation"
    ours = stream.kind in OURS and does(module, attempt.body, cst.Yield)
    return "`ClientDisconnected`" if ours and names & ERRORS else None


def _is_interrupted(module: SourceModule, body: cst.BaseSuite, names: frozenset[str]) -> bool:
    """Say whether the stream's end may come in `body`; the wait for a task that was just cancelled is left alone.

    Args:
        module: Where it is.
        body: The block.
        names: What is caught around it; none for everything.
    """
    cancels = any(last_name(call) == "cancel" for call in module.find(cst.Call, within=body, own=True))
    # No `CancelledError` comes at a `yield`: only who takes `GeneratorExit` as well is asked there.
    is_for_task = cancels and bool(names) and names <= CANCELS - {"BaseException"}
    if does(module, body, cst.Yield) and not is_for_task:
        return True
    awaited = [found.expression for found in module.find(cst.Await, within=body, own=True)]
    loops = [loop for loop in module.find(cst.For, within=body, own=True) if loop.asynchronous is not None]
    return bool(loops) or (not cancels and any(_is_wait(what) for what in awaited))


def _is_wait(what: cst.BaseExpression) -> bool:
    return isinstance(what, cst.Call) and last_name(what) not in {"gather", "wait", "aclose", "close"}


def _earlier(module: SourceModule, attempt: cst.Try, handler: cst.ExceptHandler) -> bool:
    """Say whether a handler before this one takes the end, and this one the rest."""
    for other in attempt.handlers:
        if other is handler:
            return False
        names = caught(module, other)
        if names & (CANCELS | RESETS | {"OSError", "GeneratorExit"}):
            return True
    return False


def _goes_on(module: SourceModule, attempt: cst.Try | cst.With, body: cst.BaseSuite | None) -> bool:
    """Say whether the stream continues after `body`, in the next round of a loop."""
    if next(loops_around(module, attempt), None) is None:
        return False
    ways = Ways(lambda node: False, lambda _, handler: True)
    found = frozenset({Way.ON}) if body is None else ways.through(body)
    return Way.AGAIN in found or (Way.ON in found and _leads_round(module, attempt, ways))


def _leads_round(module: SourceModule, node: cst.CSTNode, ways: Ways) -> bool:
    """Say whether what follows `node` in its block can come to the next round."""
    block = module.parent(node)
    if not isinstance(block, cst.IndentedBlock):
        return True
    place = next(place for place, statement in enumerate(block.body) if statement is node)
    after = block.body[place + 1 :]
    found = ways.through(cst.IndentedBlock(after)) if after else frozenset({Way.ON})
    return Way.AGAIN in found or Way.ON in found


def _yields_after_close(module: SourceModule, handler: cst.ExceptHandler) -> bool:
    names = caught(module, handler)
    closes = handler.type is None or "BaseException" in names or "GeneratorExit" in names
    return closes and does(module, handler.body, cst.Yield)


def _swallowed_text(what: str) -> str:
    return (
        f"This takes {what} with which a stream ends, and the loop goes on: the generator works for a client that has "
        "gone. End with `raise`, or leave the loop"
    )


def _yield_text(module: SourceModule, handler: cst.ExceptHandler) -> str:
    name = "A bare `except:`" if handler.type is None else f"`{module.code(handler.type)}`"
    return (
        f"{name} takes `GeneratorExit`, too, and a `yield` after that is an error (`async generator ignored "
        "GeneratorExit`). Catch `Exception` here"
    )


def _last_words(module: SourceModule, stream: Stream) -> Iterator[Problem]:
    """Yield the `finally` blocks that yield; unbroken lets them, and drops what they say."""
    for function in generators(module, stream) if stream.kind not in OURS else ():
        for block in module.find(cst.Finally, within=function.body, own=True):
            if does(module, block.body, cst.Yield):
                yield Problem(block, FINALLY_TEXT)


def _suppressed(module: SourceModule, stream: Stream) -> Iterator[Problem]:
    for function in generators(module, stream):
        for block in module.find(cst.With, within=function.body, own=True):
            for item in block.items:
                if module.called(item.item) != "contextlib.suppress" or not isinstance(item.item, cst.Call):
                    continue
                names = frozenset().union(*(types_in(module, arg.value) for arg in item.item.args))
                taken = names & CANCELS and _is_interrupted(module, block.body, names)
                ours = stream.kind in OURS and names & ERRORS and does(module, block.body, cst.Yield)
                if (taken or ours) and _goes_on(module, block, None):
                    yield Problem(block, _swallowed_text("the cancellation" if taken else "`ClientDisconnected`"))


def _status_after_start(subject: Subject) -> Iterator[Problem]:
    module = subject.module
    for stream in subject.streams:
        for function in generators(module, stream):
            for statement in module.find(cst.Raise, within=function.body, own=True):
                name = module.name(statement.exc.func) if isinstance(statement.exc, cst.Call) else None
                if name not in HTTP_EXCEPTIONS or _is_caught(module, statement):
                    continue
                if stream.kind in OURS and not _after_event(module, function, statement):
                    continue
                yield Problem(statement, _status_text(module, stream))


def _is_caught(module: SourceModule, statement: cst.Raise) -> bool:
    """Say whether the generator itself catches what it raises."""
    inner: cst.CSTNode = statement
    for outer in module.around(statement):
        if isinstance(outer, cst.FunctionDef):
            return False
        if isinstance(outer, cst.Try) and inner is outer.body:
            names = frozenset().union(*(caught(module, handler) for handler in outer.handlers))
            if names & (HTTP_EXCEPTIONS | {"Exception", "BaseException"}):
                return True
        inner = outer
    return False


def _after_event(module: SourceModule, function: cst.FunctionDef, statement: cst.Raise) -> bool:
    line = module.position(statement).start.line
    loops = [*loops_around(module, statement)]
    return any(
        module.position(found).start.line < line or any(does(module, loop, cst.Yield) for loop in loops)
        for found in module.find(cst.Yield, within=function.body, own=True)
    )


def _status_text(module: SourceModule, stream: Stream) -> str:
    if stream.kind in OURS:
        return (
            "The status is sent with the first event: this `HTTPException` can only cut the stream off. Raise it "
            "before the first `yield`, or yield an event that says what is wrong"
        )
    return (
        "The status 200 is sent before the generator runs: this `HTTPException` cuts the stream off, and no client "
        "sees its status. Raise it in the endpoint, before the response is made, or yield an event that says what "
        "is wrong"
    )


RULES: Final = (
    Rule(
        "SSE003",
        "except-never-fires",
        "except-never-fires",
        "An `except ConnectionResetError` around a `yield`, where no such exception comes",
        _never_fires,
        fixable=True,
        limits=(
            "Streams of Starlette, sse-starlette and fastapi.sse; an `EventStreamGuard` does not change it, for it "
            "cannot reach into a generator. A handler passes if something in its block may lose a connection of its "
            "own: an await other than a sleep, a queue or an event, or a loop over what a call returns. `OSError` "
            "and `Exception` pass, for they are caught for other reasons as well."
        ),
    ),
    Rule(
        "SSE005",
        "swallows-disconnect",
        "disconnect-swallowed",
        "A handler that takes a stream's end, and lets its loop go on",
        _swallows,
        fixable=True,
        limits=(
            "A handler of `CancelledError`, `BaseException` or everything (or `contextlib.suppress` of them) around "
            "a `yield` or an await, without `raise`, after which the loop has another round; with unbroken's "
            "responses also `Exception`, `OSError` and `ConnectionResetError` around a `yield`. A handler that "
            "leaves the loop or the function passes: with every server measured nothing is lost by that. So does "
            "the wait for a task that was cancelled just before, also where its block has a `yield`. A `yield` in a "
            "handler that takes `GeneratorExit` or in a `finally` is found, too."
        ),
    ),
    Rule(
        "SSE021",
        "status-after-start",
        "status-after-start",
        "An `HTTPException` in the generator, when the status has been sent",
        _status_after_start,
        limits=(
            "Only `raise HTTPException(…)` in the generators themselves, not in what they call. One that the generator "
            "catches itself passes. With unbroken's responses it is found after the first `yield` only: before it, it "
            "becomes a real response."
        ),
    ),
)
