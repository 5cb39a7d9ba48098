"""`time.sleep`, which holds the loop or a thread while it waits: `await asyncio.sleep` holds nothing."""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial
from typing import Final

import libcst as cst

from unbroken.diagnose.source.fixing.plan import Plan
from unbroken.diagnose.source.streams import Stream, is_generator

__all__ = ["sleep_alone"]

CODES: Final = ("SSE007", "SSE004")
HELD: Final = "SSE006"
SLEEP: Final = "time.sleep"
AT_ONCE: Final = frozenset({
    SLEEP, "bool", "datetime.datetime.now", "datetime.datetime.utcnow", "datetime.now", "dict", "enumerate", "float",
    "int", "json.dumps", "len", "list", "max", "min", "print", "random.choice", "random.randint", "random.random",
    "random.uniform", "range", "repr", "reversed", "round", "sorted", "str", "sum", "time.ctime", "time.monotonic",
    "time.strftime", "time.time", "uuid.uuid4", "zip",
})  # fmt: skip
"""Calls that wait for nothing, so that they may be made in the loop."""
TEXT_METHODS: Final = frozenset({"encode", "format", "isoformat", "strftime"})
ANNOTATIONS: Final = {"Iterator": "AsyncIterator", "Iterable": "AsyncIterable"}


def sleep_alone(plan: Plan, found: Iterable[Stream]) -> None:
    """Have the asynchronous functions of streams await their `time.sleep`, and make so those that do nothing else."""
    streams = list(found)
    for function in dict.fromkeys(function for stream in streams for function in stream.reach):
        sleeps = [call for call in plan.module.find(cst.Call, within=function.body, own=True) if _sleeps(plan, call)]
        if function.asynchronous is not None:
            _await(plan, [call for call in sleeps if plan.allows(call, *CODES)], CODES)
        elif (
            sleeps
            and _may_turn(plan, function, sleeps)
            and _is_streamed(plan, function, streams)
            and _await(plan, sleeps, (HELD,))
        ):
            _turn(plan, function)


def _sleeps(plan: Plan, call: cst.Call) -> bool:
    return plan.module.called(call) == SLEEP and isinstance(plan.module.parent(call), cst.Expr)


def _may_turn(plan: Plan, function: cst.FunctionDef, sleeps: Iterable[cst.Call]) -> bool:
    """Say whether `check` asks for it, and all that the generator does may as well be done in the loop."""
    if not all(plan.found(call, HELD) and plan.allows(call, HELD) for call in sleeps):
        return False
    if not is_generator(plan.module, function) or function.decorators or not _may_be_annotated(plan, function):
        return False
    if next(plan.module.find(cst.From, cst.With, within=function.body, own=True), None) is not None:
        return False
    loops = plan.module.find(cst.For, within=function.body, own=True)
    calls = plan.module.find(cst.Call, within=function.body, own=True)
    return all(isinstance(loop.iter, cst.Call | cst.List | cst.Tuple) for loop in loops) and all(
        plan.module.called(call) in AT_ONCE
        or (isinstance(call.func, cst.Attribute) and call.func.attr.value in TEXT_METHODS)
        for call in calls
    )


def _may_be_annotated(plan: Plan, function: cst.FunctionDef) -> bool:
    returns = function.returns
    if returns is None:
        return True
    head = returns.annotation.value if isinstance(returns.annotation, cst.Subscript) else returns.annotation
    return isinstance(head, cst.Name) and head.value in ANNOTATIONS


def _is_streamed(plan: Plan, function: cst.FunctionDef, streams: Iterable[Stream]) -> bool:
    """Say whether `function` is called for the content of a response, and nowhere else."""
    contents = [call.func for stream in streams if (call := _content(stream)) is not None]
    uses = [name for name in plan.module.find(cst.Name) if name.value == function.name.value]
    return all(name is function.name or name in contents for name in uses)


def _content(stream: Stream) -> cst.Call | None:
    if not isinstance(stream.at, cst.Call) or not stream.at.args:
        return None
    first = stream.at.args[0].value
    return first if isinstance(first, cst.Call) else None


def _turn(plan: Plan, function: cst.FunctionDef) -> None:
    plan.edit(function, lambda updated: updated.with_changes(asynchronous=cst.Asynchronous()))
    plan.note(function, HELD, "is asynchronous from now on, so that it holds no thread")
    for name in plan.module.find(cst.Name, within=function.returns) if function.returns else ():
        if name.value in ANNOTATIONS:
            source = (plan.module.name(name) or "").rpartition(".")[0] or "collections.abc"
            plan.replace(name, cst.Name(plan.known_as(source, ANNOTATIONS[name.value], ANNOTATIONS[name.value])))
            plan.spare(source, name.value)
            return


def _await(plan: Plan, sleeps: Iterable[cst.Call], codes: tuple[str, ...]) -> bool:
    """Have these calls awaited; say whether they can be: where `asyncio` is something else as well, they stay."""
    found = list(sleeps)
    loop = plan.module_name("asyncio") if found else None
    for call in found if loop else ():
        _await_one(plan, call, f"{loop}.sleep", codes)
    return loop is not None


def _await_one(plan: Plan, call: cst.Call, name: str, codes: tuple[str, ...]) -> None:
    plan.edit(call, partial(_awaited, name=name))
    plan.note(call, plan.found(call, *codes), f"awaits `{name}` in place of `{plan.module.code(call.func)}`")
    if isinstance(call.func, cst.Attribute):
        local = call.func.value
        plan.spare("time", None, local.value if isinstance(local, cst.Name) and local.value != "time" else None)
    elif isinstance(call.func, cst.Name):
        plan.spare("time", "sleep", call.func.value if call.func.value != "sleep" else None)


def _awaited(call: cst.Call, *, name: str) -> cst.Await:
    return cst.Await(call.with_changes(func=cst.parse_expression(name)))
