"""What a function calls while it runs, and where the things that it calls come from."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import libcst as cst
from libcst.helpers import get_full_name_for_node

from unbroken.diagnose.source.module import SourceModule
from unbroken.diagnose.source.streams import Stream, is_generator

__all__ = ["foreground", "generators", "last_name", "number", "origin", "own_calls", "short"]

ELSEWHERE: Final = frozenset({
    "Thread", "Timer", "Process", "add_task", "BackgroundTask", "call_soon", "call_soon_threadsafe", "create_task",
    "ensure_future", "iterate_in_threadpool", "run_coroutine_threadsafe", "run_in_executor", "run_in_threadpool",
    "run_sync", "start_soon", "submit", "to_thread",
})  # fmt: skip
"""What is called to have something run in another task or thread: its arguments are not waited for here."""
MANAGERS: Final = frozenset({
    "contextlib.asynccontextmanager", "contextlib.contextmanager", "asynccontextmanager", "contextmanager",
})  # fmt: skip
FICTIONS: Final = frozenset({
    "starlette.responses.EventSourceResponse", "starlette.sse.EventSourceResponse", "fastapi.EventSourceResponse",
})  # fmt: skip
FIXTURES: Final = ("pytest.fixture", "pytest_asyncio.fixture", "trio_asyncio.fixture")
DEEPEST: Final = 12
"""Steps through names, calls and attributes over which a value is followed: a bound for names that go in circles."""


def last_name(call: cst.CSTNode) -> str | None:
    """Return what stands last before the parentheses: `get` of `self.queue.get()`."""
    if not isinstance(call, cst.Call):
        return None
    if isinstance(call.func, cst.Attribute):
        return call.func.attr.value
    return call.func.value if isinstance(call.func, cst.Name) else None


def short(module: SourceModule, node: cst.CSTNode, limit: int = 48) -> str:
    """Return the source of `node` on one line, for a message."""
    text = " ".join(module.code(node).split())
    return text if len(text) <= limit else text[: limit - 1] + "…"


def own_calls(module: SourceModule, function: cst.FunctionDef) -> Iterator[cst.Call]:
    """Yield the calls that `function` makes while it runs, those for another task or thread left out."""
    for call in module.find(cst.Call, within=function.body, own=True):
        if not is_elsewhere(module, call):
            yield call


def is_elsewhere(module: SourceModule, node: cst.CSTNode) -> bool:
    """Say whether `node` is an argument of what runs it in another task or thread."""
    inner = node
    for outer in module.around(node):
        if isinstance(outer, cst.BaseStatement | cst.BaseSmallStatement):
            return False
        if last_name(outer) in ELSEWHERE and isinstance(inner, cst.Arg):
            return True
        inner = outer
    return False


def foreground(module: SourceModule, stream: Stream) -> list[cst.FunctionDef]:
    """Return the functions of the module that run as part of the stream's generator; its outermost first."""
    left = [*_sources(module, stream), *([stream.function] if stream.function is not None else [])]
    found: dict[cst.FunctionDef, None] = {}
    while left:
        function = left.pop(0)
        if function not in found:
            found[function] = None
            left += (called for call in own_calls(module, function) if (called := module.function(call.func)))
    return list(found)


def content_of(stream: Stream) -> cst.BaseExpression | None:
    """Return what a response is given to stream."""
    return argument(stream.at, "content", 0) if isinstance(stream.at, cst.Call) else None


def _sources(module: SourceModule, stream: Stream) -> Iterator[cst.FunctionDef]:
    """Yield the functions that a response's content is the call of: of `beats(events())` both."""
    content = content_of(stream)
    value = None if content is None else module.value(content)
    for call in [] if value is None else [value, *module.find(cst.Call, within=value)]:
        function = module.function(call.func) if isinstance(call, cst.Call) else None
        if function is not None:
            yield function


def generators(module: SourceModule, stream: Stream) -> list[cst.FunctionDef]:
    """Return the generators of the module that run as part of the stream; context managers are none."""
    return [
        function
        for function in foreground(module, stream)
        if is_generator(module, function) and not is_manager(module, function)
    ]


def is_manager(module: SourceModule, function: cst.FunctionDef) -> bool:
    """Say whether a generator is made a context manager or a fixture by its decorator."""
    for decorator in function.decorators:
        node = decorator.decorator
        name = module.name(node.func if isinstance(node, cst.Call) else node) or ""
        if name in MANAGERS or name in FIXTURES:
            return True
    return False


def number(module: SourceModule, expression: cst.CSTNode | None) -> float | None:
    """Return the constant number that `expression` is, through one name and products."""
    if isinstance(expression, cst.Name):
        expression = module.value(expression)
    if isinstance(expression, cst.Integer | cst.Float):
        return float(expression.evaluated_value)
    if isinstance(expression, cst.BinaryOperation) and isinstance(expression.operator, cst.Multiply):
        left, right = number(module, expression.left), number(module, expression.right)
        return None if left is None or right is None else left * right
    return None


def argument(call: cst.Call, name: str, position: int | None = None) -> cst.BaseExpression | None:
    """Return the argument of that name, or at that position."""
    positional = [arg.value for arg in call.args if arg.keyword is None and not arg.star]
    for arg in call.args:
        if arg.keyword is not None and arg.keyword.value == name:
            return arg.value
    return positional[position] if position is not None and position < len(positional) else None


def origin(module: SourceModule, expression: cst.CSTNode, depth: int = 0) -> str | None:
    """Return the full name from which `expression` was made, with what was taken of it since.

    `client.chat.create` is `openai.OpenAI.chat.create` where `client = OpenAI()`. None where it cannot be told.
    """
    if depth > DEEPEST:
        return None
    if isinstance(expression, cst.Await):
        return origin(module, expression.expression, depth + 1)
    if isinstance(expression, cst.Call):
        return origin(module, expression.func, depth + 1)
    if isinstance(expression, cst.Attribute):
        return _of_attribute(module, expression, depth)
    return _of_name(module, expression, depth) if isinstance(expression, cst.Name) else None


def _of_attribute(module: SourceModule, attribute: cst.Attribute, depth: int) -> str | None:
    value = attribute_value(module, attribute)
    if value is not None:
        return origin(module, value, depth + 1)
    base = origin(module, attribute.value, depth + 1)
    return None if base is None else f"{base}.{attribute.attr.value}"


def attribute_value(module: SourceModule, attribute: cst.Attribute) -> cst.BaseExpression | None:
    """Return what `self.x` was given in its class, if that is one thing only."""
    if not (isinstance(attribute.value, cst.Name) and attribute.value.value == "self"):
        return None
    owner = next((outer for outer in module.around(attribute) if isinstance(outer, cst.ClassDef)), None)
    if owner is None:
        return None
    given = [
        statement.value
        for statement in module.find(cst.Assign, cst.AnnAssign, within=owner)
        if isinstance(statement, cst.Assign | cst.AnnAssign)
        and statement.value is not None
        and attribute.attr.value in _self_targets(statement)
    ]
    return given[0] if len(given) == 1 else None


def _self_targets(statement: cst.Assign | cst.AnnAssign) -> list[str]:
    targets = [t.target for t in statement.targets] if isinstance(statement, cst.Assign) else [statement.target]
    return [
        target.attr.value
        for target in targets
        if isinstance(target, cst.Attribute) and isinstance(target.value, cst.Name) and target.value.value == "self"
    ]


def _of_name(module: SourceModule, name: cst.Name, depth: int) -> str | None:
    found = module.assigned(name)
    if len(found) != 1:
        return module.name(name) if not found else None
    given = _given(module, found[0])
    if given is not None:
        return origin(module, given, depth + 1)
    return module.name(name)


def _given(module: SourceModule, node: cst.CSTNode) -> cst.BaseExpression | None:
    """Return the expression that a name's definition takes its value from."""
    if isinstance(node, cst.Param):
        return _annotated(node.annotation)
    parent = module.parent(node)
    if isinstance(parent, cst.AsName):
        item = module.parent(parent)
        return item.item if isinstance(item, cst.WithItem) else None
    if isinstance(parent, cst.NamedExpr) and parent.target is node:
        return parent.value
    return node if isinstance(node, cst.Call | cst.Await | cst.Attribute) else None


def _annotated(annotation: cst.Annotation | None) -> cst.BaseExpression | None:
    if annotation is None:
        return None
    kind = annotation.annotation
    if isinstance(kind, cst.Subscript) and (get_full_name_for_node(kind.value) or "").endswith("Annotated"):
        first = kind.slice[0].slice
        kind = first.value if isinstance(first, cst.Index) else kind
    return kind if isinstance(kind, cst.Name | cst.Attribute) else None


def is_fiction(module: SourceModule, stream: Stream) -> bool:
    """Say whether a stream's response is one that nobody has: SSE001 says so, and nothing is known of what it does."""
    return module.called(stream.at) in FICTIONS
