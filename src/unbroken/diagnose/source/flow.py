"""Which ways lead through a block without doing a certain thing."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from enum import Enum, auto
from typing import Final

import libcst as cst

from unbroken.diagnose.source.module import SourceModule

__all__ = [
    "Way",
    "Ways",
    "caught",
    "does",
    "is_endless",
    "is_true",
    "loops_around",
    "nothing_came",
    "own_loops",
    "statements",
    "types_in",
]

LEAVING: Final = frozenset({
    "asyncio.CancelledError", "asyncio.exceptions.CancelledError", "BaseException", "BrokenPipeError",
    "ConnectionError", "ConnectionResetError", "ConnectionAbortedError", "Exception", "GeneratorExit", "OSError",
    "KeyboardInterrupt", "starlette.requests.ClientDisconnect", "unbroken.ClientDisconnected", "unbroken.StreamClosed",
    "anyio.get_cancelled_exc_class",
})  # fmt: skip
"""Exceptions with which a stream is broken off: to end a loop on one of them is no end of its own."""
FOR_EVER: Final = frozenset({"itertools.count", "itertools.cycle", "watchfiles.awatch", "watchfiles.watch"})
NOTHING_CAME: Final = ("Timeout", "TimeoutError", "Empty", "QueueEmpty", "WouldBlock", "TimeoutException")
LISTENING: Final = frozenset({"listen"})
"""Methods whose iteration has no end, by convention: a broker's subscription."""


class Way(Enum):
    """How a block is left."""

    ON = auto()
    """To what follows it."""
    AGAIN = auto()
    """`continue`."""
    OUT = auto()
    """`break`."""
    AWAY = auto()
    """`return` or `raise`."""


Found = frozenset[Way]
JUMPS: Final = {cst.Break: Way.OUT, cst.Continue: Way.AGAIN, cst.Return: Way.AWAY, cst.Raise: Way.AWAY}


def statements(body: cst.BaseSuite | cst.BaseStatement) -> Iterator[cst.BaseStatement | cst.BaseSmallStatement]:
    """Yield the statements of a block, those that share a line one by one."""
    lines: Sequence[cst.CSTNode] = body.body if isinstance(body, cst.BaseSuite) else [body]
    for line in lines:
        if isinstance(line, cst.SimpleStatementLine):
            yield from line.body
        elif isinstance(line, cst.BaseStatement | cst.BaseSmallStatement):
            yield line


def does(module: SourceModule, node: cst.CSTNode, *kinds: type[cst.CSTNode]) -> bool:
    """Say whether `node` is or holds one of `kinds`, functions inside left out."""
    return isinstance(node, kinds) or any(True for _ in module.find(*kinds, within=node, own=True))


@dataclass(frozen=True, slots=True)
class Ways:
    """Finds the ways through blocks on which nothing `stops`.

    Args:
        stops: Says whether evaluating an expression or a small statement does what is looked for.
        enters: Says whether a handler can be entered before it has been done.
    """

    stops: Callable[[cst.CSTNode], bool]
    enters: Callable[[cst.Try | cst.TryStar, cst.ExceptHandler | cst.ExceptStarHandler], bool]

    def through(self, body: cst.BaseSuite) -> Found:
        """Return how `body` can be left."""
        found: Found = frozenset()
        for statement in statements(body):
            ways = self._statement(statement)
            found |= ways - {Way.ON}
            if Way.ON not in ways:
                return found
        return found | {Way.ON}

    def _statement(self, node: cst.CSTNode) -> Found:
        match node:
            case cst.If():
                return self._if(node)
            case cst.While() | cst.For():
                return self._loop(node)
            case cst.Try() | cst.TryStar():
                return self._try(node)
            case cst.With():
                stopped = node.asynchronous is not None and self.stops(cst.Await(cst.Name("_")))
                return frozenset() if stopped or any(map(self.stops, node.items)) else self.through(node.body)
            case cst.Match():
                return self._match(node)
            case cst.FunctionDef() | cst.ClassDef():
                return frozenset({Way.ON})
            case _:
                return frozenset() if self.stops(node) else frozenset({JUMPS.get(type(node), Way.ON)})

    def _if(self, node: cst.If) -> Found:
        if self.stops(node.test):
            return frozenset()
        other = node.orelse
        if other is None:
            otherwise: Found = frozenset({Way.ON})
        else:
            otherwise = self._if(other) if isinstance(other, cst.If) else self.through(other.body)
        return self.through(node.body) | otherwise

    def _loop(self, node: cst.While | cst.For) -> Found:
        head = node.test if isinstance(node, cst.While) else node.iter
        waits = isinstance(node, cst.For) and node.asynchronous is not None
        if self.stops(head) or (waits and self.stops(cst.Await(cst.Name("_")))):
            return frozenset()
        body = self.through(node.body)
        # A loop whose every round does it may still be passed: there may be no round at all.
        after = (
            frozenset({Way.ON}) if not (isinstance(node, cst.While) and is_true(head)) or Way.OUT in body else Found()
        )
        return after | (body & {Way.AWAY})

    def _try(self, node: cst.Try | cst.TryStar) -> Found:
        found = self.through(node.body)
        if node.orelse is not None and Way.ON in found:
            found = (found - {Way.ON}) | self.through(node.orelse.body)
        for handler in node.handlers:
            if self.enters(node, handler):
                found |= self.through(handler.body)
        if node.finalbody is None:
            return found
        last = self.through(node.finalbody.body)
        return (last - {Way.ON}) | (found if Way.ON in last else frozenset())

    def _match(self, node: cst.Match) -> Found:
        if self.stops(node.subject):
            return frozenset()
        return frozenset({Way.ON}).union(*(self.through(case.body) for case in node.cases))


def is_true(expression: cst.BaseExpression) -> bool:
    """Say whether a loop's condition is always true: `True`, `1`."""
    if isinstance(expression, cst.Name):
        return expression.value == "True"
    return isinstance(expression, cst.Integer) and expression.value != "0"


def own_loops(module: SourceModule, within: cst.CSTNode) -> Iterator[cst.While | cst.For]:
    """Yield the loops in `within` in source order, those of functions inside left out."""
    for node in module.find(cst.While, cst.For, within=within, own=True):
        if isinstance(node, cst.While | cst.For):
            yield node


def loops_around(module: SourceModule, node: cst.CSTNode) -> Iterator[cst.While | cst.For]:
    """Yield the loops of its own function in whose body `node` stands, the innermost first."""
    inner = node
    for outer in module.around(node):
        if isinstance(outer, cst.FunctionDef | cst.Lambda | cst.ClassDef):
            return
        if isinstance(outer, cst.While | cst.For) and inner is outer.body:
            yield outer
        inner = outer


def is_endless(module: SourceModule, loop: cst.While | cst.For) -> bool:
    """Say whether nothing but its client's leaving ends `loop`."""
    if isinstance(loop, cst.For):
        if module.called(loop.iter) not in FOR_EVER and not _listens(loop.iter):
            return False
    elif not is_true(loop.test) and not _while_connected(module, loop.test):
        return False
    return all(_is_leaving(module, way, loop) for way in _exits(module, loop))


def _listens(source: cst.BaseExpression) -> bool:
    return (
        isinstance(source, cst.Call) and isinstance(source.func, cst.Attribute) and source.func.attr.value in LISTENING
    )


def _while_connected(module: SourceModule, test: cst.BaseExpression) -> bool:
    """Say whether a condition asks for nothing but the client: `not await request.is_disconnected()`."""
    if isinstance(test, cst.BooleanOperation):
        return isinstance(test.operator, cst.And) and all(
            is_true(side) or _while_connected(module, side) for side in (test.left, test.right)
        )
    return isinstance(test, cst.UnaryOperation) and _asks_for_client(module, test.expression)


def _asks_for_client(module: SourceModule, test: cst.CSTNode) -> bool:
    names = [test, *module.find(cst.Name, within=test)]
    return any(isinstance(name, cst.Name) and name.value.endswith("disconnected") for name in names)


def _exits(module: SourceModule, loop: cst.While | cst.For) -> Iterator[cst.CSTNode]:
    yield from module.find(cst.Return, cst.Raise, within=loop.body, own=True)
    for found in module.find(cst.Break, within=loop.body, own=True):
        if next(loops_around(module, found), None) is loop:
            yield found


def _is_leaving(module: SourceModule, way: cst.CSTNode, loop: cst.While | cst.For) -> bool:
    """Say whether a loop is left there because its client has gone, or because it was broken off."""
    for outer in module.around(way):
        if outer is loop:
            return False
        if isinstance(outer, cst.If) and _asks_for_client(module, outer.test):
            return True
        if isinstance(outer, cst.ExceptHandler):
            return isinstance(way, cst.Raise) or bool(caught(module, outer) & LEAVING) or outer.type is None
    return False


def caught(module: SourceModule, handler: cst.ExceptHandler | cst.ExceptStarHandler) -> frozenset[str]:
    """Return the full names of what a handler catches; none for a bare `except:`."""
    return types_in(module, handler.type)


def types_in(module: SourceModule, expression: cst.BaseExpression | None) -> frozenset[str]:
    """Return the full names of the exceptions that a handler's or `suppress`'s expression names."""
    if isinstance(expression, cst.Name):
        found = module.value(expression)
        expression = found if isinstance(found, cst.Tuple) else expression
    if isinstance(expression, cst.Tuple):
        return frozenset().union(*(types_in(module, element.value) for element in expression.elements))
    if isinstance(expression, cst.Call):
        expression = expression.func
    name = None if expression is None else module.name(expression)
    return frozenset() if name is None else frozenset({name})


def nothing_came(module: SourceModule, handler: cst.ExceptHandler | cst.ExceptStarHandler) -> bool:
    """Say whether a handler is for a wait that brought nothing."""
    return any(name.rpartition(".")[2] in NOTHING_CAME for name in caught(module, handler))
