"""SSE010 and SSE016: what a stream holds for as long as it lives."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

import libcst as cst

from unbroken.diagnose.source.calls import argument, generators, is_manager, last_name, origin, short
from unbroken.diagnose.source.flow import does, is_endless, own_loops
from unbroken.diagnose.source.module import SourceModule
from unbroken.diagnose.source.rules.rule import Problem, Rule, Subject
from unbroken.diagnose.source.streams import ROUTES, is_generator

__all__ = ["RULES"]

DEPENDS: Final = frozenset({
    "fastapi.Depends", "fastapi.Security", "fastapi.params.Depends", "fastapi.param_functions.Depends",
})  # fmt: skip
SESSIONS: Final = re.compile(
    r"(get|open|provide|use|new|create|yield)_(\w+_)?(db|session|database|connection|conn|cursor|transaction|uow)(_session)?"
    r"|SessionLocal"
)
"""Imported dependencies that are taken for ones with a `yield`."""
ALIASES: Final = re.compile(r"(\w*_)?(Async)?(DB|Db|Database|Session)(Session)?(Dep|Dependency|Depends)")
OPENS: Final = re.compile(r"(?i).*(session|session_?maker|session_?local|session_?factory)")
DATABASES: Final = re.compile(r"(sqlite3|aiosqlite|psycopg2?|asyncpg|asyncmy|aiomysql)\.connect")
NOT_DATABASES: Final = re.compile(r"(aiohttp|httpx2?|requests|mcp|curl_cffi|aioboto3|boto3|aiobotocore)\b.*")
LISTENS: Final = re.compile(r"\.(add_listener|listen|notifies|watch|subscribe|pubsub)\(|LISTEN ")
SCOPES: Final = frozenset({
    "asyncio.TaskGroup", "asyncio.timeout", "asyncio.timeout_at", "anyio.create_task_group", "anyio.move_on_after",
    "anyio.move_on_at", "anyio.fail_after", "anyio.fail_at", "anyio.CancelScope", "trio.open_nursery",
    "trio.CancelScope",
    "trio.move_on_after", "trio.move_on_at", "trio.fail_after", "trio.fail_at", "async_timeout.timeout",
})  # fmt: skip
DEEPEST: Final = 4


def _held(subject: Subject) -> Iterator[Problem]:
    module = subject.module
    for stream in subject.streams:
        functions = generators(module, stream)
        endpoint = stream.endpoint
        if endpoint is not None and _is_route(endpoint) and (not functions or _waits(module, functions)):
            yield from _dependencies(module, endpoint)
        for function in functions:
            yield from _sessions(module, function)


def _is_route(function: cst.FunctionDef) -> bool:
    calls = (decorator.decorator for decorator in function.decorators)
    return any(isinstance(call, cst.Call) and last_name(call) in ROUTES for call in calls)


def _waits(module: SourceModule, functions: list[cst.FunctionDef]) -> bool:
    """Say whether one of the generators waits for more than its own work."""
    for function in functions:
        if does(module, function.body, cst.Await):
            return True
        if any(loop.asynchronous for loop in module.find(cst.For, within=function.body, own=True)):
            return True
        if any(last_name(call) == "sleep" for call in module.find(cst.Call, within=function.body, own=True)):
            return True
    return False


def _dependencies(module: SourceModule, endpoint: cst.FunctionDef) -> Iterator[Problem]:
    for param in _params(endpoint):
        name = _held_by(module, param, 0)
        if name is not None:
            yield Problem(
                param,
                f"`{param.name.value}` comes from `{name}`, which FastAPI closes only after the whole stream: every "
                "open stream holds a connection of the pool. Use a short session inside the generator for each "
                "query, or "
                f'`Depends({name}, scope="function")` if the generator does not need it',
            )


def _params(function: cst.FunctionDef) -> list[cst.Param]:
    params = function.params
    return [*params.posonly_params, *params.params, *params.kwonly_params]


def _held_by(module: SourceModule, param: cst.Param, depth: int) -> str | None:
    """Return the name of what a parameter's dependency holds until the response has ended."""
    if depth > DEEPEST:
        return None
    call = _depends(module, param)
    if call is None:
        return _alias(module, param)
    scope = argument(call, "scope")
    if scope is not None and module.text_of(scope) == "function":
        return None
    target = argument(call, "dependency", 0)
    return None if target is None else _holder(module, target, depth)


def _depends(module: SourceModule, param: cst.Param) -> cst.Call | None:
    """Return the `Depends(…)` of a parameter: its default, or in its `Annotated`, which may have a name."""
    kind = None if param.annotation is None else param.annotation.annotation
    annotated = kind if kind is None else module.value(kind)
    candidates: list[cst.CSTNode] = [] if param.default is None else [param.default]
    if isinstance(annotated, cst.Subscript):
        candidates += [element.slice.value for element in annotated.slice if isinstance(element.slice, cst.Index)]
    for node in candidates:
        if isinstance(node, cst.Call) and module.called(node) in DEPENDS:
            return node
    return None


def _alias(module: SourceModule, param: cst.Param) -> str | None:
    kind = None if param.annotation is None else param.annotation.annotation
    if not isinstance(kind, cst.Name) or not ALIASES.fullmatch(kind.value):
        return None
    found = module.value(kind)
    return kind.value if isinstance(found, cst.Import | cst.ImportFrom | cst.ImportAlias) or found is kind else None


def _holder(module: SourceModule, target: cst.BaseExpression, depth: int) -> str | None:
    function = module.function(target)
    if function is None:
        name = last_part(target)
        defined = isinstance(target, cst.Name) and isinstance(module.value(target), cst.ClassDef | cst.Call)
        return name if name is not None and not defined and SESSIONS.fullmatch(name) else None
    if is_generator(module, function):
        return function.name.value if _releases(module, function) else None
    return next((held for param in _params(function) if (held := _held_by(module, param, depth + 1))), None)


def last_part(node: cst.BaseExpression) -> str | None:
    """Return the last word of a dotted name."""
    if isinstance(node, cst.Attribute):
        return node.attr.value
    return node.value if isinstance(node, cst.Name) else None


def _releases(module: SourceModule, function: cst.FunctionDef) -> bool:
    """Say whether a dependency gives something back after its `yield`."""
    blocks = module.find(cst.With, cst.Try, within=function.body, own=True)
    if any(does(module, block, cst.Yield) for block in blocks):
        return True
    last = function.body.body[-1] if function.body.body else None
    return last is not None and not does(module, last, cst.Yield)


def _sessions(module: SourceModule, function: cst.FunctionDef) -> Iterator[Problem]:
    for block in module.find(cst.With, within=function.body, own=True):
        if not does(module, block.body, cst.Yield) or LISTENS.search(module.code(block)):
            continue
        for item in block.items:
            if _is_session(module, item.item) and _waits_inside(module, block, item):
                yield Problem(
                    block,
                    f"`{short(module, item.item)}` stays open while `{function.name.value}` waits between its "
                    "events: every open stream holds a connection of the pool. Open it for each query, and close it "
                    "before the `yield`",
                )


def _is_session(module: SourceModule, item: cst.BaseExpression) -> bool:
    if not isinstance(item, cst.Call):
        return False
    name = origin(module, item) or ""
    if NOT_DATABASES.match(name):
        return False
    if DATABASES.fullmatch(name) or (last_name(item) != "ClientSession" and OPENS.fullmatch(last_name(item) or "")):
        return True
    base = item.func.value if isinstance(item.func, cst.Attribute) else None
    owner = "" if base is None else (last_part(base) or "").lower()
    return (last_name(item) in {"acquire", "connection"} and "pool" in owner) or (
        last_name(item) in {"begin", "connect"} and "engine" in owner
    )


def _waits_inside(module: SourceModule, block: cst.With, item: cst.WithItem) -> bool:
    """Say whether the block waits for something else than the session itself."""
    own = item.asname.name if item.asname is not None else None
    name = own.value if isinstance(own, cst.Name) else ""
    for found in module.find(cst.Await, within=block.body, own=True):
        if not re.search(rf"\b{name}\b", module.code(found)) or not name:
            return True
    loops = own_loops(module, block.body)
    calls = module.find(cst.Call, within=block.body, own=True)
    return any(is_endless(module, loop) for loop in loops) or any(last_name(call) == "sleep" for call in calls)


def _yield_in_scope(subject: Subject) -> Iterator[Problem]:
    module = subject.module
    for stream in subject.streams:
        for function in generators(module, stream):
            if function.asynchronous is None or is_manager(module, function):
                continue
            for block in module.find(cst.With, within=function.body, own=True):
                scope = next((name for item in block.items if (name := module.called(item.item)) in SCOPES), None)
                if scope is not None and does(module, block.body, cst.Yield):
                    yield Problem(block, _scope_text(scope))


def _scope_text(scope: str) -> str:
    return (
        f"A `yield` inside `{scope}`: the scope stays open while the consumer has its turn, so it cancels the wrong "
        "code, and ends in another task when the generator is closed (PEP 789). Let the scope feed a bounded queue "
        "in a task of its own, and yield outside of it; or put only the awaits between two events into it"
    )


RULES: Final = (
    Rule(
        "SSE010",
        "dependency-held",
        "dependency-held",
        "A dependency with a `yield`, or a database session, that is held for as long as the stream lives",
        _held,
        limits=(
            "In the module: dependencies that release something after their `yield` (`with`, `try`, a statement), "
            "also through other dependencies. Imported: those called like `get_db`, `get_session`, or aliases like "
            "`SessionDep`. "
            '`scope="function"` passes. A finite generator that never waits passes, for it holds no longer than any '
            "request. In the generator: a session, a pool's connection or an engine's, around a `yield` and a wait "
            "for something else. One that listens for notifications passes: it has to be held. FastAPI 0.106 to "
            "0.117 closed dependencies before the body was sent."
        ),
    ),
    Rule(
        "SSE016",
        "yield-in-scope",
        "scope-across-yield",
        "A `yield` inside a task group, a timeout or a cancel scope",
        _yield_in_scope,
        limits=(
            "Asynchronous generators of streams; context managers and fixtures, whose `yield` is meant to be there, "
            "pass. `unbroken.while_connected` passes: it is made for it. Scopes hidden in other context managers "
            "are not seen."
        ),
    ),
)
