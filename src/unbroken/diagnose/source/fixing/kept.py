"""Responses that stay what they are, whatever `check` says of them."""

from __future__ import annotations

import ast
import re
import warnings
from collections.abc import Iterator
from typing import Final

import libcst as cst

from unbroken.diagnose.source.module import SourceModule
from unbroken.diagnose.source.streams import ANY_CONTENT, Stream
from unbroken.diagnose.source.text import is_built

__all__ = ["inspects", "why_kept"]

RESPONSE: Final = "StreamingResponse"
BODY: Final = "body_iterator"
WORTH_PARSING: Final = re.compile(rb"\bStreamingResponse\b|\bbody_iterator\b")
ASKS: Final = re.compile(rb"\b(isinstance|issubclass|type|assertIsInstance|case|body_iterator)\b")
INSPECTED: Final = f"one of these files asks whether a response is a `{RESPONSE}`, or reads its `{BODY}`; ours is none"
CHOSEN: Final = "its content type is chosen at run time, so it need not be an event stream"
ONE_TEXT: Final = "its content is one text, and ours takes what is iterated"
TEXTS: Final = frozenset({"str", "bytes"})


def inspects(source: bytes) -> bool:
    """Say whether a file tells `StreamingResponse` from other responses, or takes a response's body by hand.

    Every use of the class counts but those that make one, derive from it, or only say a type.
    """
    if not WORTH_PARSING.search(source):
        return False
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # what the compiler thinks of somebody's escapes is not asked for
            tree = ast.parse(source)
    except (SyntaxError, ValueError):
        return False  # what cannot run inspects nothing
    except (RecursionError, MemoryError):
        return ASKS.search(source) is not None
    return _is_inspected(tree)


def _is_inspected(tree: ast.Module) -> bool:
    nodes = list(ast.walk(tree))
    local = {RESPONSE} | {
        alias.asname
        for node in nodes
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
        if alias.name == RESPONSE and alias.asname
    }
    harmless = {id(inner) for node in nodes for inner in _harmless(node)}
    return any(_names(node, local) and id(node) not in harmless for node in nodes)


def _names(node: ast.AST, local: set[str]) -> bool:
    if isinstance(node, ast.Attribute):
        return node.attr in {BODY, RESPONSE}
    return isinstance(node, ast.Name) and node.id in local


def _harmless(node: ast.AST) -> Iterator[ast.AST]:
    """Yield what inside `node` makes a response, is a base, or says a type."""
    match node:
        case ast.Call(func=ast.Name() | ast.Attribute(attr="StreamingResponse")):
            yield node.func
        case ast.ClassDef():
            yield from node.bases
        case ast.keyword(arg="response_class"):
            yield node.value
        case ast.arg(annotation=ast.expr() as said) | ast.AnnAssign(annotation=said):
            yield from ast.walk(said)
        case ast.FunctionDef(returns=ast.expr() as said) | ast.AsyncFunctionDef(returns=ast.expr() as said):
            yield from ast.walk(said)
        case ast.Subscript():
            yield from ast.walk(node.slice)
        case _:
            return


def why_kept(module: SourceModule, stream: Stream, *, inspected: bool) -> str | None:
    """Return why the stream's response stays a `StreamingResponse`; None if nothing is known against another."""
    call = stream.at
    if not isinstance(call, cst.Call) or not _is_theirs(module, call):
        return None
    if inspected:
        return INSPECTED
    if any(_is_chosen(module, value) for value in _content_types(module, call, stream)):
        return CHOSEN
    content = _given(call, "content", 0)
    return ONE_TEXT if content is not None and _is_one_text(module, content) else None


def _is_theirs(module: SourceModule, call: cst.Call) -> bool:
    kind = module.value(call.func)
    bases = [module.name(base.value) for base in kind.bases] if isinstance(kind, cst.ClassDef) else []
    return not ANY_CONTENT.isdisjoint([module.called(call), *bases])


def _given(call: cst.Call, name: str, place: int) -> cst.BaseExpression | None:
    named = (arg.value for arg in call.args if arg.keyword is not None and arg.keyword.value == name)
    positional = [arg.value for arg in call.args if arg.keyword is None and not arg.star]
    return next(named, positional[place] if place < len(positional) else None)


def _content_types(module: SourceModule, call: cst.Call, stream: Stream) -> Iterator[cst.BaseExpression]:
    given = _given(call, "media_type", 3)
    if given is not None:
        yield given
    headers = stream.options.get("headers")
    said = None if headers is None else module.value(headers)
    for element in said.elements if isinstance(said, cst.Dict) else ():
        key = module.text_of(element.key) if isinstance(element, cst.DictElement) else None
        if (key or "").lower() == "content-type":
            yield element.value


def _is_chosen(module: SourceModule, value: cst.BaseExpression) -> bool:
    return module.text_of(value) is None and not (isinstance(value, cst.Name) and value.value == "None")


def _is_one_text(module: SourceModule, content: cst.BaseExpression) -> bool:
    if is_built(content):
        return True
    if isinstance(content, cst.Call):
        return _returns_text(module, content)
    found = module.assigned(content) if isinstance(content, cst.Name) else []
    return any(_is_text_value(module, value) for value in found)


def _is_text_value(module: SourceModule, value: cst.CSTNode) -> bool:
    if isinstance(value, cst.Param):
        return value.annotation is not None and module.code(value.annotation.annotation) in TEXTS
    return isinstance(value, cst.BaseExpression) and (
        is_built(value) or (isinstance(value, cst.Call) and _returns_text(module, value))
    )


def _returns_text(module: SourceModule, call: cst.Call) -> bool:
    if isinstance(call.func, cst.Attribute) and call.func.attr.value == "join" and is_built(call.func.value):
        return True
    function = module.function(call.func)
    if function is None or next(module.find(cst.Yield, within=function.body, own=True), None) is not None:
        return False
    if function.returns is not None:
        return module.code(function.returns.annotation) in TEXTS
    return any(_is_built(found.value) for found in module.find(cst.Return, within=function.body, own=True))


def _is_built(value: cst.CSTNode | None) -> bool:
    return value is not None and is_built(value)
