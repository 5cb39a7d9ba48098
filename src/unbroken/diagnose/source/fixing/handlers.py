"""Handlers that eat the client's leaving: it goes by them."""

from __future__ import annotations

from collections.abc import Iterator
from enum import Enum, auto
from functools import cached_property, partial
from typing import Final

import libcst as cst

from unbroken.diagnose.source.fixing.cancelling import is_cancelled_alone
from unbroken.diagnose.source.fixing.plan import Plan

__all__ = ["Told", "let_pass"]

CLOSED: Final = frozenset({
    "unbroken.StreamClosed", "unbroken.ClientDisconnected", "unbroken.errors.StreamClosed",
    "unbroken.errors.ClientDisconnected", "ConnectionResetError", "ConnectionError",
})  # fmt: skip
"""A handler of one of these is for the client's leaving, whatever follows it."""
WIDE: Final = frozenset({"Exception", "OSError", "IOError", "EnvironmentError"})
RESET: Final = frozenset({"ConnectionResetError", "ConnectionError"})
"""What an upstream raises, too: a handler that was not written for the client is not to see it leave."""
WIDEST: Final = frozenset({"BaseException", None})
CANCELLED: Final = frozenset({
    "asyncio.CancelledError", "asyncio.exceptions.CancelledError", "anyio.get_cancelled_exc_class",
    "concurrent.futures.CancelledError",
})  # fmt: skip
LEAVING: Final = CANCELLED | CLOSED | {"GeneratorExit"}
CODE: Final = "SSE005"
FIRES: Final = "SSE003"


class Told(Enum):
    """Whether a generator is told of the end of its stream by an exception at its `yield`."""

    NEVER = auto()
    ALWAYS = auto()
    """Its response is one of this package."""
    FROM_NOW_ON = auto()
    """Its response becomes one: handlers that were never asked before must not be now."""


def let_pass(plan: Plan, function: cst.FunctionDef, told: Told) -> None:
    """Have what ends a stream pass by the handlers of its generator.

    Args:
        plan: Takes the edits.
        function: The generator.
        told: What its response does.
    """
    for block in plan.module.find(cst.Try, within=function.body, own=True):
        _Block(plan, block, function, told).mend()


class _Block:
    """One `try` of a generator."""

    def __init__(self, plan: Plan, block: cst.Try, function: cst.FunctionDef, told: Told) -> None:
        self._plan = plan
        self._block = block
        self._function = function
        self._yields = self._has(cst.Yield)
        self._waits = self._has(cst.Await) or self._has(cst.Asynchronous)
        self._told = told if self._yields else Told.NEVER

    def _has(self, kind: type[cst.CSTNode]) -> bool:
        return any(True for _ in self._plan.module.find(kind, within=self._block.body, own=True))

    def mend(self) -> None:
        """Look at the handlers in their order, up to the first that has another put before it."""
        if not (self._yields or self._waits):
            return
        caught: set[str | None] = set()
        for handler in self._block.handlers:
            names = set(_caught(self._plan, handler))
            is_meant = self._is_meant(handler)
            if is_meant:
                self._plan.note(handler, FIRES, "is raised from now on when the client leaves at a `yield`")
            if self._plan.allows(handler, CODE) and not _raises(self._plan, handler):
                if names <= LEAVING and (names & CANCELLED or is_meant or self._plan.found(handler, CODE)):
                    if not (names & CANCELLED and self._is_cancelled_alone):
                        self._raise_again(handler, is_meant=is_meant)
                elif not is_meant and (passing := list(self._passing(handler, names, caught))):
                    self._put_before(handler, passing)
                    return
            caught |= names

    def _is_meant(self, handler: cst.ExceptHandler) -> bool:
        """Say whether the handler was written for the client's leaving, and is told of it only from now on."""
        return self._told is Told.FROM_NOW_ON and self._plan.found(handler, FIRES) is not None

    def _passing(self, handler: cst.ExceptHandler, names: set[str | None], caught: set[str | None]) -> Iterator[str]:
        """Yield the exceptions that `handler` must not see."""
        if names & (WIDEST | CANCELLED) and self._may_raise(handler):
            loop = self._plan.module_name("asyncio") if self._may_be_cancelled(caught) else None
            if loop is not None:
                yield f"{loop}.CancelledError"
            if names & WIDEST and self._yields and "GeneratorExit" not in caught:
                yield "GeneratorExit"
        is_asked = self._told is Told.FROM_NOW_ON or (self._told is Told.ALWAYS and self._plan.found(handler, CODE))
        if names & (WIDE | WIDEST | RESET) and is_asked and not caught & CLOSED:
            yield self._plan.known_as("unbroken", "StreamClosed", "UnbrokenStreamClosed")

    def _may_be_cancelled(self, caught: set[str | None]) -> bool:
        """Say whether a cancellation comes to the handler, and certainly as the stream's end."""
        is_asked = self._function.asynchronous is not None and not caught & CANCELLED
        return is_asked and not self._is_cancelled_alone

    @cached_property
    def _is_cancelled_alone(self) -> bool:
        return is_cancelled_alone(self._plan.module, self._block.body)

    def _put_before(self, handler: cst.ExceptHandler, passing: list[str]) -> None:
        self._plan.edit(handler, partial(_after_passing, passing))
        names = " and ".join(f"`{name}`" for name in passing)
        self._plan.note(handler, self._plan.found(handler, CODE), f"lets {names} pass by the handler")

    def _raise_again(self, handler: cst.ExceptHandler, *, is_meant: bool) -> None:
        may_raise = self._goes_on(handler) if is_meant else self._may_raise(handler)
        if isinstance(handler.body, cst.IndentedBlock) and may_raise:
            self._plan.edit(handler.body, _raising)
            self._plan.note(handler, CODE, "raises again what ends the stream")

    def _goes_on(self, handler: cst.ExceptHandler) -> bool:
        """Say whether the loop around the block has its next turn after the handler."""
        last = handler.body.body[-1]
        leaves = isinstance(last, cst.SimpleStatementLine) and isinstance(last.body[-1], cst.Break | cst.Return)
        around = list(self._plan.module.around(self._block))
        inside = around[: around.index(self._function)]
        return not leaves and any(isinstance(outer, cst.For | cst.While) for outer in inside)

    def _may_raise(self, handler: cst.ExceptHandler) -> bool:
        """Say whether the handler does harm as it is, and none would come from raising again."""
        found = self._plan.found(handler, CODE) is not None
        return found and _is_last(self._plan, self._block, handler, self._function)


def _after_passing(names: list[str], handler: cst.ExceptHandler) -> cst.FlattenSentinel[cst.ExceptHandler]:
    kinds = [cst.parse_expression(name) for name in names]
    kind = kinds[0] if len(kinds) == 1 else cst.Tuple([cst.Element(kind) for kind in kinds])
    first = cst.ExceptHandler(
        body=cst.IndentedBlock([cst.SimpleStatementLine([cst.Raise()])]),
        type=kind,
        whitespace_after_except=cst.SimpleWhitespace(" "),
    )
    return cst.FlattenSentinel([first, handler])


def _raising(body: cst.IndentedBlock) -> cst.IndentedBlock:
    """Return `body` with a `raise` at its end, in the place of what leaves it there."""
    last = body.body[-1]
    leaves = isinstance(last, cst.SimpleStatementLine) and isinstance(
        last.body[-1], cst.Pass | cst.Break | cst.Continue | cst.Return | cst.Raise
    )
    if leaves and isinstance(last, cst.SimpleStatementLine):
        ended = last.with_changes(body=[*last.body[:-1], cst.Raise()])
        return body.with_changes(body=[*body.body[:-1], ended])
    return body.with_changes(body=[*body.body, cst.SimpleStatementLine([cst.Raise()])])


def _raises(plan: Plan, handler: cst.ExceptHandler) -> bool:
    """Say whether the handler passes on what it caught, at least on one way through it."""
    return next(plan.module.find(cst.Raise, within=handler.body, own=True), None) is not None


def _caught(plan: Plan, handler: cst.ExceptHandler) -> Iterator[str | None]:
    if handler.type is None:
        yield None
        return
    kinds = (
        [element.value for element in handler.type.elements] if isinstance(handler.type, cst.Tuple) else [handler.type]
    )
    for kind in kinds:
        yield plan.module.name(kind.func if isinstance(kind, cst.Call) else kind) or plan.module.code(kind)


def _is_last(plan: Plan, block: cst.Try, handler: cst.ExceptHandler, function: cst.FunctionDef) -> bool:
    """Say whether the handler leads to nothing after `block` that a `raise` in it would leave out.

    What follows in the same turn of a loop does not count: leaving the loop is the point.
    """
    if next(plan.module.find(cst.Return, within=handler.body, own=True), None) is not None:
        return True
    leaves = next(plan.module.find(cst.Break, within=handler.body, own=True), None) is not None
    inner: cst.CSTNode = block
    for outer in plan.module.around(block):
        if outer is function:
            return True
        if isinstance(outer, cst.While) and _is_endless(plan, outer) and not leaves:
            return True
        if isinstance(outer, cst.IndentedBlock) and not _is_loop_body(plan, outer) and outer.body[-1] is not inner:
            return False
        inner = outer
    return True


def _is_loop_body(plan: Plan, block: cst.IndentedBlock) -> bool:
    return isinstance(plan.module.parent(block), cst.For | cst.While)


def _is_endless(plan: Plan, loop: cst.While) -> bool:
    return plan.module.code(loop.test).strip("()") in {"True", "1"}
