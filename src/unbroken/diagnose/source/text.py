"""Text that is put together in an expression: what of it is constant, and what is filled in."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Final

import libcst as cst

from unbroken.diagnose.source.module import SourceModule

__all__ = ["FIELD", "Piece", "ends_event", "is_frame", "pieces"]

Piece = str | cst.BaseExpression
"""Constant text, or the expression whose value is filled in."""
FIELD: Final = re.compile(r"(data|event|id|retry):|:")
"""How a line of an event stream begins."""
HOLE: Final = re.compile(r"\{[^{}]*\}|%(?:\([^)]*\))?[-#0-9.]*[sdifrx]")
ONE_LINE: Final = cst.Integer("0")
"""Stands for a value that is formatted so that it is one line, whatever it is."""
NUMERIC: Final = frozenset("bcdeEfFgGnoxX%")
"""The last letter of a format that only numbers have."""
DEEPEST: Final = 4


def pieces(module: SourceModule, expression: cst.BaseExpression, depth: int = 0) -> list[Piece]:
    """Return the pieces of a text in their order; what is no text that can be read is one hole."""
    found: list[Piece] = []
    for piece in _pieces(module, expression, depth):
        if isinstance(piece, str) and found and isinstance(found[-1], str):
            found[-1] += piece
        elif piece != "":
            found.append(piece)
    return found


def _pieces(module: SourceModule, node: cst.BaseExpression, depth: int) -> Iterator[Piece]:
    match node:
        case cst.SimpleString():
            constant = node.evaluated_value
            yield constant.decode("utf-8", "replace") if isinstance(constant, bytes) else str(constant)
        case cst.FormattedString():
            yield from _parts(node)
        case cst.ConcatenatedString() | cst.BinaryOperation(operator=cst.Add()):
            yield from _pieces(module, node.left, depth)
            yield from _pieces(module, node.right, depth)
        case _:
            yield from _made(module, node, depth)


def _parts(node: cst.FormattedString) -> Iterator[Piece]:
    for part in node.parts:
        if isinstance(part, cst.FormattedStringText):
            yield _unescaped(node, part.value)
        elif isinstance(part, cst.FormattedStringExpression):
            yield ONE_LINE if is_plain(part) else part.expression


def is_plain(part: cst.FormattedStringExpression) -> bool:
    """Say whether a value is formatted as one line: by `!r`, or as a number."""
    spec = part.format_spec[-1] if part.format_spec else None
    is_number = isinstance(spec, cst.FormattedStringText) and spec.value[-1:] in NUMERIC
    return part.conversion in {"r", "a"} or is_number


def _made(module: SourceModule, node: cst.BaseExpression, depth: int) -> Iterator[Piece]:
    """Yield the pieces of a template that is filled, of an encoded text, or of a name that stands for a text."""
    match node:
        case cst.BinaryOperation(operator=cst.Modulo()) if is_text(node.left):
            yield from _filled(pieces(module, node.left), _operands(node.right))
        case cst.Call(func=cst.Attribute(value=base, attr=cst.Name("encode"))):
            yield from _pieces(module, base, depth)
        case cst.Call(func=cst.Attribute(value=base, attr=cst.Name("format"))) if is_text(base):
            yield from _filled(pieces(module, base), [arg.value for arg in node.args])
        case cst.Name() if depth < DEEPEST and (built := _built(module, node)) is not None:
            yield from _pieces(module, built, depth + 1)
        case _:
            yield node


def _built(module: SourceModule, name: cst.Name) -> cst.BaseExpression | None:
    value = module.value(name)
    return value if isinstance(value, cst.BaseExpression) and is_built(value) else None


def is_text(node: cst.CSTNode) -> bool:
    """Say whether `node` is a literal of text."""
    return isinstance(node, cst.SimpleString | cst.ConcatenatedString | cst.FormattedString)


def is_built(node: cst.CSTNode) -> bool:
    """Say whether `node` puts a text together."""
    if isinstance(node, cst.BinaryOperation):
        return is_built(node.left) or is_built(node.right)
    if isinstance(node, cst.Call) and isinstance(node.func, cst.Attribute):
        return node.func.attr.value in {"format", "encode"} and is_built(node.func.value)
    return is_text(node)


def _unescaped(string: cst.FormattedString, text: str) -> str:
    """Return the characters that the source text of an f-string's constant part stands for."""
    text = text.replace("{{", "{").replace("}}", "}")
    if "r" in string.start.lower() or "\\" not in text:
        return text
    quoted = text.replace('"""', '\\"""') if not text.endswith('"') else text[:-1] + '\\"'
    return str(cst.SimpleString(f'"""{quoted}"""').evaluated_value)


def _operands(node: cst.BaseExpression) -> list[cst.BaseExpression]:
    return [element.value for element in node.elements] if isinstance(node, cst.Tuple) else [node]


def _filled(template: Sequence[Piece], values: Sequence[cst.BaseExpression]) -> Iterator[Piece]:
    """Yield a template's pieces with the values in its holes."""
    left = list(values)
    for piece in template:
        if not isinstance(piece, str):
            yield piece
            continue
        texts = HOLE.split(piece)
        for place, text in enumerate(texts):
            yield text
            if place < len(texts) - 1:
                yield left.pop(0) if left else cst.Name("_")


def is_frame(found: Sequence[Piece]) -> bool:
    """Say whether a text begins as an event does that is written by hand."""
    return bool(found) and isinstance(found[0], str) and FIELD.match(found[0].lstrip("\r\n")) is not None


def ends_event(found: Sequence[Piece]) -> bool:
    """Say whether a text ends with a blank line."""
    last = found[-1] if found else ""
    # WHATWG 9.2.5: lines end in CRLF, LF or CR; a blank line dispatches the event.
    return isinstance(last, str) and re.search(r"(\r\n|\n|\r)(\r\n|\n|\r)\Z", last) is not None
