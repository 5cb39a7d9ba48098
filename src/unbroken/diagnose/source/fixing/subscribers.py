"""A subscriber that is registered for a stream, and stays when the stream has gone: a `finally` removes it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Final

import libcst as cst

from unbroken.diagnose.source.fixing.plan import Plan

__all__ = ["remove_in_finally"]

CODE: Final = "SSE008"
REMOVERS: Final = {"append": "remove", "add": "discard"}
LEAVING: Final = frozenset({"asyncio.CancelledError", "GeneratorExit", "ConnectionResetError"})


@dataclass(frozen=True, slots=True, eq=False)
class _Registration:
    """`collection.append(subscriber)` as one statement of a function's body."""

    statement: cst.SimpleStatementLine
    collection: cst.BaseExpression
    subscriber: cst.Name
    how: str


def remove_in_finally(plan: Plan, functions: Iterable[cst.FunctionDef]) -> None:
    """Have each subscriber that is registered in the body of one of `functions` removed in a `finally`."""
    for function in functions:
        if isinstance(function.body, cst.IndentedBlock):
            for found in _registrations(plan, function.body):
                _mend(plan, function.body, found)


def _registrations(plan: Plan, body: cst.IndentedBlock) -> Iterator[_Registration]:
    for statement in body.body:
        call = _lone_call(statement)
        if call is None or not isinstance(call.func, cst.Attribute) or call.func.attr.value not in REMOVERS:
            continue
        # Only what `check` reports: which collections outlive the stream, it has looked up.
        if len(call.args) == 1 and isinstance(call.args[0].value, cst.Name) and plan.found(statement, CODE):
            line = cst.ensure_type(statement, cst.SimpleStatementLine)
            yield _Registration(line, call.func.value, call.args[0].value, call.func.attr.value)


def _lone_call(statement: cst.CSTNode) -> cst.Call | None:
    if not isinstance(statement, cst.SimpleStatementLine) or len(statement.body) != 1:
        return None
    expression = statement.body[0]
    return expression.value if isinstance(expression, cst.Expr) and isinstance(expression.value, cst.Call) else None


def _mend(plan: Plan, body: cst.IndentedBlock, found: _Registration) -> None:
    place = body.body.index(found.statement)
    rest = body.body[place + 1 :]
    removals = [line for line in plan.module.find(cst.SimpleStatementLine, within=body) if _removes(plan, line, found)]
    after = [line for line in removals if line in rest]
    if not rest or not all(_may_go(plan, line, after) for line in removals):
        return
    for line in removals:
        plan.edit(line, partial(_gone, is_alone=line not in after and _is_alone(plan, line)))
    plan.edit(body, partial(_wrapped, place=place, removal=_removal(plan, found)))
    plan.note(found.statement, CODE, f"removes `{found.subscriber.value}` in a `finally`, however the stream ends")


def _removes(plan: Plan, line: cst.SimpleStatementLine, found: _Registration) -> bool:
    call = _lone_call(line)
    return (
        call is not None
        and isinstance(call.func, cst.Attribute)
        and call.func.attr.value in {"remove", "discard"}
        and call.func.value.deep_equals(found.collection)
        and len(call.args) == 1
        and call.args[0].value.deep_equals(found.subscriber)
    )


def _may_go(plan: Plan, line: cst.SimpleStatementLine, after: Sequence[cst.CSTNode]) -> bool:
    """Say whether a removal stands where the `finally` does its work: at the end, or in a handler."""
    return line in after or isinstance(plan.module.parent(plan.module.parent(line)), cst.ExceptHandler)


def _is_alone(plan: Plan, line: cst.SimpleStatementLine) -> bool:
    block = plan.module.parent(line)
    return isinstance(block, cst.IndentedBlock) and len(block.body) == 1


def _gone(line: cst.SimpleStatementLine, *, is_alone: bool) -> cst.SimpleStatementLine | cst.RemovalSentinel:
    return line.with_changes(body=[cst.Raise()]) if is_alone else cst.RemovalSentinel.REMOVE


def _removal(plan: Plan, found: _Registration) -> cst.BaseStatement:
    collection, subscriber = plan.module.code(found.collection), found.subscriber.value
    line = f"{collection}.{REMOVERS[found.how]}({subscriber})"
    if found.how == "append" and _is_removed_elsewhere(plan, found):
        line = f"if {subscriber} in {collection}:\n    {line}"
    return cst.parse_statement(line)


def _is_removed_elsewhere(plan: Plan, found: _Registration) -> bool:
    """Say whether others take subscribers out as well, so that this one may be gone already."""
    own = plan.module.function_around(found.statement)
    calls = (call for call in plan.module.find(cst.Call) if plan.module.function_around(call) is not own)
    return any(
        isinstance(call.func, cst.Attribute)
        and call.func.attr.value in {"remove", "pop", "clear"}
        and call.func.value.deep_equals(found.collection)
        for call in calls
    )


def _wrapped(body: cst.IndentedBlock, *, place: int, removal: cst.BaseStatement) -> cst.IndentedBlock:
    """Return `body` with all that follows the statement at `place` in a `try`, or in the one that is there."""
    rest = list(body.body[place + 1 :])
    end = cst.Finally(cst.IndentedBlock([removal]))
    if len(rest) == 1 and isinstance(rest[0], cst.Try) and rest[0].finalbody is None:
        block = rest[0].with_changes(finalbody=end)
    else:
        block = cst.Try(cst.IndentedBlock(rest), finalbody=end)
    return body.with_changes(body=[*body.body[: place + 1], block])
