"""SSE004, SSE006 and SSE007: what holds the event loop, or a thread."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import libcst as cst

from unbroken.diagnose.source.blocking import blocking_calls, iterated
from unbroken.diagnose.source.calls import argument, foreground, generators, last_name, short
from unbroken.diagnose.source.flow import (
    FOR_EVER,
    Way,
    Ways,
    does,
    is_true,
    loops_around,
    nothing_came,
    own_loops,
    statements,
)
from unbroken.diagnose.source.module import SourceModule
from unbroken.diagnose.source.rules.rule import Problem, Rule, Subject
from unbroken.diagnose.source.streams import Kind, Stream

__all__ = ["RULES"]

OURS: Final = frozenset({Kind.UNBROKEN, Kind.COMPAT})


def _never_awaits(subject: Subject) -> Iterator[Problem]:
    module = subject.module
    for stream in subject.streams:
        kinds: tuple[type[cst.CSTNode], ...] = (cst.Await,)
        if _yields_to_loop(module, stream):
            kinds = (cst.Await, cst.Yield)
        for function in generators(module, stream):
            for loop in () if function.asynchronous is None else _endless(module, function):
                if _has_round_without(module, loop, kinds):
                    yield Problem(
                        loop,
                        f"This loop of `{function.name.value}` has a round without an `await` that waits: while it "
                        "spins, nothing else in the process runs, not even the notice that the client has left. Put "
                        "an `await asyncio.sleep(…)` into every round, or wait for what is to be sent",
                    )


def _yields_to_loop(module: SourceModule, stream: Stream) -> bool:
    """Say whether a `yield` gives the event loop a turn."""
    declared = stream.kind is Kind.FASTAPI and isinstance(stream.at, cst.FunctionDef)
    return module.guarded or declared or stream.kind in OURS


def _endless(module: SourceModule, function: cst.FunctionDef) -> Iterator[cst.While | cst.For]:
    for loop in own_loops(module, function.body):
        if isinstance(loop, cst.While):
            if is_true(loop.test):
                yield loop
        elif loop.asynchronous is None and module.called(loop.iter) in FOR_EVER:
            yield loop


def _has_round_without(module: SourceModule, loop: cst.While | cst.For, kinds: tuple[type[cst.CSTNode], ...]) -> bool:
    def enters(attempt: cst.Try | cst.TryStar, handler: cst.ExceptHandler | cst.ExceptStarHandler) -> bool:
        first = next(statements(attempt.body), None)
        return nothing_came(module, handler) and first is not None and not does(module, first, *kinds)

    found = Ways(lambda node: does(module, node, *kinds), enters).through(loop.body)
    if Way.OUT in found and next(loops_around(module, loop), None) is not None:
        return False  # it takes what a round of the outer loop has brought, and leaves when that is used up
    return bool(found & {Way.ON, Way.AGAIN})


def _sync_blocks(subject: Subject) -> Iterator[Problem]:
    module = subject.module
    for stream in subject.streams:
        for function in generators(module, stream):
            if function.asynchronous is None and stream.function is not None and not stream.is_async:
                found = next(_holds(module, stream, function), None)
                if found is not None:
                    yield found


def _holds(module: SourceModule, stream: Stream, function: cst.FunctionDef) -> Iterator[Problem]:
    for node, _ in _blocks(module, function):
        if stream.kind in OURS and not _for_ever(node):
            continue
        yield Problem(
            node,
            f"`{short(module, _head(node))}` in the synchronous generator `{function.name.value}` holds a thread of "
            "the pool while it waits: 40 such streams hold them all, and one that waits here is not told that its "
            "client has left. Make it an `async def` that awaits, with the library's asynchronous client",
        )


def _blocks(module: SourceModule, function: cst.FunctionDef) -> Iterator[tuple[cst.CSTNode, str]]:
    """Yield what holds a thread in `function`: calls, and what is iterated, in the order of the source."""
    found = list(blocking_calls(module, function))
    for loop in module.find(cst.For, within=function.body, own=True):
        name = iterated(module, loop) if loop.asynchronous is None else None
        if name is not None and all(node is not loop.iter for node, _ in found):
            found.append((loop, name))
    found.sort(key=lambda pair: module.position(pair[0]).start.line)
    yield from found


def _for_ever(node: cst.CSTNode) -> bool:
    """Say whether nothing bounds a wait in a thread."""
    if not isinstance(node, cst.Call):
        return True
    timeout = argument(node, "timeout") or argument(node, "timeout", 1)
    return timeout is None and last_name(node) not in {"sleep", "execute", "commit", "connect"}


def _head(node: cst.CSTNode) -> cst.CSTNode:
    return node.iter if isinstance(node, cst.For) else node


def _blocking(subject: Subject) -> Iterator[Problem]:
    module = subject.module
    for stream in subject.streams:
        if not stream.is_async:
            continue
        for function in foreground(module, stream):
            for node, name in _blocks(module, function):
                yield Problem(
                    node,
                    f"`{short(module, _head(node))}` ({name}) holds the event loop in `{function.name.value}`: every "
                    "other request and stream of the process stands still meanwhile. Use the asynchronous client, "
                    "or `await asyncio.to_thread(…)`",
                )


RULES: Final = (
    Rule(
        "SSE004",
        "never-awaits",
        "loop-starved",
        "An asynchronous generator that can loop for ever without awaiting",
        _never_awaits,
        limits=(
            "Only loops without an end of their own (`while True`, `itertools.count()`): a long `for` passes, and so "
            "does an inner loop with a `break`. An "
            "await counts whatever it does, also one that never suspends. With a route of fastapi.sse, with "
            "unbroken's responses and behind an `EventStreamGuard` a `yield` counts as well, for there every event "
            "gives the loop a turn."
        ),
    ),
    Rule(
        "SSE006",
        "sync-generator-blocks",
        "thread-held",
        "A synchronous generator that waits, and holds a thread meanwhile",
        _sync_blocks,
        limits=(
            "The first such call of a generator is reported. It knows `time.sleep`, queues, events, subprocesses, "
            "and the synchronous clients of HTTP, SQL, Redis, MongoDB, OpenAI, Anthropic, Kafka and AWS, where "
            "their origin is in the same module. With unbroken's responses, which have threads of their own, only "
            "waits without a bound are found."
        ),
    ),
    Rule(
        "SSE007",
        "blocking-call",
        "loop-starved",
        "A call in an asynchronous generator that blocks the event loop",
        _blocking,
        limits=(
            "The calls that SSE006 knows, in the asynchronous generator and in the functions of its module that it "
            "calls; what is handed to `to_thread`, `run_in_executor` or `run_in_threadpool` passes. Reading a local "
            "file passes, as it takes no longer than a page of memory as a rule."
        ),
    ),
)
