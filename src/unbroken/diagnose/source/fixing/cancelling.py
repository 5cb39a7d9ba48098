"""Awaits that may be cancelled without the stream being: a `CancelledError` there is not the client's leaving."""

from __future__ import annotations

from typing import Final

import libcst as cst

from unbroken.diagnose.source.calls import last_name
from unbroken.diagnose.source.module import SourceModule

__all__ = ["is_cancelled_alone"]

WAITS: Final = frozenset({
    "acquire", "brpop", "checkpoint", "get", "get_message", "is_disconnected", "put", "receive", "recv", "sleep",
    "sleep_until", "wait", "xread",
})  # fmt: skip
"""Waits for what comes, or for the clock: only who waits is cancelled there."""
LISTENERS: Final = frozenset({"listen", "iter_lines", "aiter_lines", "aiter_bytes", "aiter_text", "stream"})
LIMITED: Final = frozenset({"wait_for"})
CANCELLED: Final = "CancelledError"


def is_cancelled_alone(module: SourceModule, body: cst.BaseSuite) -> bool:
    """Say whether something that `body` awaits may be cancelled by itself: a task, a future, work that is not known."""
    return _is_alone(module, body, set())


def _is_alone(module: SourceModule, body: cst.CSTNode, seen: set[cst.FunctionDef]) -> bool:
    if any(module.code(found).find(CANCELLED) >= 0 for found in module.find(cst.Raise, within=body, own=True)):
        return True
    awaited = module.find(cst.Await, within=body, own=True)
    loops = module.find(cst.For, within=body, own=True)
    return any(not _is_wait(module, found.expression, seen) for found in awaited) or any(
        loop.asynchronous is not None and not _is_listening(module, loop.iter, seen) for loop in loops
    )


def _is_wait(module: SourceModule, what: cst.BaseExpression, seen: set[cst.FunctionDef]) -> bool:
    """Say whether nobody but the stream's end cancels the wait `what`."""
    if not isinstance(what, cst.Call):
        return False  # a task, or a future
    if last_name(what) in LIMITED and what.args:
        return _is_wait(module, what.args[0].value, seen)
    return _is_own(module, what, seen) or (module.function(what.func) is None and last_name(what) in WAITS)


def _is_listening(module: SourceModule, what: cst.BaseExpression, seen: set[cst.FunctionDef]) -> bool:
    if not isinstance(what, cst.Call):
        return False
    return _is_own(module, what, seen) or (module.function(what.func) is None and last_name(what) in LISTENERS)


def _is_own(module: SourceModule, call: cst.Call, seen: set[cst.FunctionDef]) -> bool:
    """Say whether it is this module's function that is called, and all that it awaits is such a wait."""
    function = module.function(call.func)
    if function is None or function in seen:
        return function is not None
    seen.add(function)
    return not function.decorators and not _is_alone(module, function.body, seen)
