"""SSE002 and SSE017: streams that are silent for too long, and streams that nothing ends."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import libcst as cst

from unbroken.diagnose.source.calls import generators, is_fiction, short
from unbroken.diagnose.source.flow import is_endless, own_loops
from unbroken.diagnose.source.module import SourceModule
from unbroken.diagnose.source.rules.rule import Problem, Rule, Subject
from unbroken.diagnose.source.streams import Kind, Stream
from unbroken.diagnose.source.waits import silence

__all__ = ["RULES"]

ADVICE: Final = {
    Kind.STARLETTE: "Return `unbroken.EventSourceResponse`, which sends a heartbeat after 15 s",
    Kind.FASTAPI: "Declare the route with `response_class=EventSourceResponse` and yield from it, or return unbroken's",
    Kind.SSE_STARLETTE: "Leave out `ping`: sse-starlette then sends a heartbeat every 15 s",
}
OURS: Final = "Leave out `heartbeat`: it is 15 s by default"


def _no_heartbeat(subject: Subject) -> Iterator[Problem]:
    module = subject.module
    for stream in subject.streams:
        if not _is_bare(module, stream):
            continue
        where = silence(module, stream)
        if where is not None:
            line = module.position(where).start.line
            yield Problem(
                stream.at,
                f"This stream can be silent for long: {_wait(module, where)} in line {line}. Proxies drop a "
                f"connection after 60 s without a byte, some after 10 s. {ADVICE.get(stream.kind, OURS)}",
            )


def _wait(module: SourceModule, where: cst.CSTNode) -> str:
    if isinstance(where, cst.While):
        return "a round without a `yield` is possible in the loop"
    if isinstance(where, cst.For | cst.With):
        return f"it waits for `{short(module, where.iter if isinstance(where, cst.For) else where.items[0].item)}`"
    return f"it waits in `{short(module, where)}`"


def _is_bare(module: SourceModule, stream: Stream) -> bool:
    """Say whether nothing sends heartbeats into the stream, as far as its response goes."""
    if module.guarded or stream.kind is Kind.UNKNOWN or is_fiction(module, stream):
        return False
    if stream.kind is Kind.STARLETTE:
        return True
    if stream.kind is Kind.FASTAPI:
        return isinstance(stream.at, cst.Call)  # FastAPI's own sends them where the route is the generator
    off = (stream.options.get("ping"), stream.options.get("heartbeat"))
    return _is(off[0], "0") or _is(off[0], "0.0") or _is(off[1], "None")


def _is(option: cst.BaseExpression | None, text: str) -> bool:
    return isinstance(option, cst.Name | cst.Integer | cst.Float) and option.value == text


def _shutdown_hangs(subject: Subject) -> Iterator[Problem]:
    module = subject.module
    for stream in subject.streams:
        if module.guarded or stream.kind not in {Kind.STARLETTE, Kind.FASTAPI} or is_fiction(module, stream):
            continue
        loop = _endless(module, stream)
        if loop is not None:
            line = module.position(loop).start.line
            yield Problem(
                stream.at,
                f"Nothing ends this stream when the server shuts down: its loop in line {line} stops only when the "
                "client leaves, and uvicorn and granian wait for it. Return `unbroken.EventSourceResponse`, or add "
                "`EventStreamGuard`",
            )


def _endless(module: SourceModule, stream: Stream) -> cst.While | cst.For | None:
    for function in generators(module, stream):
        for loop in own_loops(module, function.body):
            if is_endless(module, loop) and any(True for _ in module.find(cst.Yield, within=loop.body, own=True)):
                return loop
    return None


RULES: Final = (
    Rule(
        "SSE002",
        "no-heartbeat",
        "idle-timeout",
        "A stream without heartbeats whose generator can be silent for more than 15 seconds",
        _no_heartbeat,
        fixable=True,
        limits=(
            "It looks at `StreamingResponse`, at `fastapi.sse.EventSourceResponse` that is returned instead of "
            "declared, and at responses whose heartbeat is turned off. An await has no bound unless it is a sleep "
            "or a timeout of at most 15 s, a finished task, or a question to a store, which is known by its name "
            "(`execute`, `hget`, `get_user`, `list_files`); a time "
            "that is no constant is taken to be short. A generator that yields a comment in a "
            "loop, or is called heartbeat, keepalive or ping, is taken to send its own. A finite generator that "
            "only sleeps passes. Behind an `EventStreamGuard` there is nothing to find. The generator has to be a "
            "function of the same module."
        ),
    ),
    Rule(
        "SSE017",
        "shutdown-hangs",
        "shutdown-hangs",
        "An endless stream that keeps the server from shutting down",
        _shutdown_hangs,
        fixable=True,
        limits=(
            "Endless is a `while True`, `while not await request.is_disconnected()`, `itertools.count()` or a "
            "`listen()` around a `yield` that no `break`, `return` or `raise` leaves except when the client leaves. "
            "A loop that a sentinel in its data ends passes, although a shutdown may have to wait for it. "
            "sse-starlette passes: on uvicorn it ends its streams itself; on hypercorn and granian it does not. A "
            "guarded application passes."
        ),
    ),
)
