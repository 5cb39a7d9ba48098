"""Text with holes: what an expression that builds a string says, however it is written."""

from __future__ import annotations

import ast
import re
import string
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Final

import libcst as cst

from unbroken.diagnose.source.module import SourceModule

__all__ = ["Hole", "Template", "is_json", "joined", "quote_of", "template_of", "written"]

JSON_CALLS: Final = frozenset({"json.dumps", "simplejson.dumps", "ujson.dumps"})
JSON_METHODS: Final = frozenset({"model_dump_json"})
TEXT_CALLS: Final = JSON_CALLS | {"str", "repr", "hex", "oct", "bin", "format", "html.escape", "time.ctime"}
TEXT_METHODS: Final = JSON_METHODS | {"hexdigest", "isoformat"}
"""Whatever has a method of this name returns a `str` from it."""
METHODS_OF_TEXT: Final = frozenset({
    "capitalize", "casefold", "format", "join", "lower", "lstrip", "replace", "rstrip", "strip", "title", "upper",
})  # fmt: skip
"""Methods that return a `str` if called on one: `datetime.replace` and `bytes.strip` do not."""
NUMBER_CALLS: Final = frozenset({"float", "int", "len", "time.monotonic", "time.perf_counter", "time.time"})
PERCENT: Final = re.compile(r"%(s|\.[0-9]+[fe])")
UTF8: Final = frozenset({"utf-8", "utf8"})


@dataclass(frozen=True, slots=True, eq=False)
class Hole:
    """An expression whose text stands in a template."""

    expression: cst.BaseExpression
    conversion: str | None = None
    spec: str = ""
    is_text: bool = False
    """It is a `str` for certain, so it may stand alone."""
    is_json: bool = False
    is_int: bool = False
    """It names a constant `int`."""
    percent: str = ""
    """How `%` writes it, where a hole's `:` may write it otherwise."""

    @property
    def stands_alone(self) -> bool:
        """Whether `shown` itself is the text of the hole."""
        return self.is_text and not (self.conversion or self.spec)

    @property
    def shown(self) -> cst.BaseExpression:
        """The expression that stands in the hole."""
        if not self.percent:
            return self.expression
        operand = cst.Tuple([cst.Element(self.expression, comma=cst.Comma())])
        return cst.BinaryOperation(cst.SimpleString(f'"%{self.percent}"'), cst.Modulo(), operand)


Template = tuple[str | Hole, ...]


def template_of(module: SourceModule, node: cst.CSTNode) -> Template | None:
    """Return what the expression `node` says; None where it is no text that is put together here."""
    found = _parts(module, node)
    return None if found is None or all(isinstance(part, Hole) for part in found) else joined(found)


def joined(parts: Template) -> Template:
    """Return `parts` with neighbouring texts made one, and empty ones left out."""
    found: list[str | Hole] = []
    for part in parts:
        last = found[-1] if found else None
        if isinstance(part, str) and isinstance(last, str):
            found[-1] = last + part
        elif part:
            found.append(part)
    return tuple(found)


def is_json(module: SourceModule, node: cst.CSTNode) -> bool:
    """Say whether `node` makes JSON text: it begins with no space."""
    return isinstance(node, cst.Call) and (_is_of(module, node, JSON_CALLS) or _method(node) in JSON_METHODS)


def _is_of(module: SourceModule, call: cst.Call, names: frozenset[str]) -> bool:
    """Say whether what is called is imported or built in under one of `names`, and not this module's own."""
    root = call.func
    while isinstance(root, cst.Attribute):
        root = root.value
    own = isinstance(root, cst.Name) and any(
        not isinstance(found, cst.Import | cst.ImportFrom) for found in module.assigned(root)
    )
    return not own and module.called(call) in names


def _is_text(module: SourceModule, node: cst.CSTNode) -> bool:
    if isinstance(node, cst.Name):
        assigned = module.assigned(node)
        return len(assigned) == 1 and not isinstance(assigned[0], cst.Name) and _is_text(module, assigned[0])
    if isinstance(node, cst.Param):
        annotated = node.annotation is not None and module.code(node.annotation.annotation) == "str"
        return annotated and not (node.default is not None and module.code(node.default) == "None")
    if isinstance(node, cst.SimpleString | cst.FormattedString):
        return "b" not in node.prefix.lower()
    return isinstance(node, cst.Call) and (_is_of(module, node, TEXT_CALLS) or _is_text_method(module, node))


def _is_text_method(module: SourceModule, call: cst.Call) -> bool:
    method = _method(call)
    of_text = method in METHODS_OF_TEXT and _is_text(module, cst.ensure_type(call.func, cst.Attribute).value)
    return of_text or method in TEXT_METHODS


def _is_number(module: SourceModule, node: cst.CSTNode) -> bool:
    """Say whether `node` is a `float` or an `int` for certain."""
    value = module.value(node) if isinstance(node, cst.Name) else node
    if isinstance(value, cst.Param):
        return value.annotation is not None and module.code(value.annotation.annotation) in {"float", "int"}
    return isinstance(value, cst.Float | cst.Integer) or (
        isinstance(value, cst.Call) and _is_of(module, value, NUMBER_CALLS)
    )


def _method(call: cst.Call) -> str | None:
    return call.func.attr.value if isinstance(call.func, cst.Attribute) else None


def _hole(module: SourceModule, node: cst.BaseExpression, *, is_text: bool = False) -> Hole:
    return Hole(
        node,
        is_text=is_text or _is_text(module, node),
        is_json=is_json(module, node),
        is_int=isinstance(module.value(node), cst.Integer),
    )


def _parts(module: SourceModule, node: cst.CSTNode) -> Template | None:
    if isinstance(node, cst.SimpleString | cst.Name):
        return _constant(module, node)
    if isinstance(node, cst.FormattedString):
        return _formatted(module, node)
    if isinstance(node, cst.ConcatenatedString):
        return _both(_parts(module, node.left), _parts(module, node.right))
    if isinstance(node, cst.BinaryOperation):
        return _operation(module, node)
    return _call(module, node) if isinstance(node, cst.Call) else None


def _both(left: Template | None, right: Template | None) -> Template | None:
    return None if left is None or right is None else left + right


def _constant(module: SourceModule, node: cst.SimpleString | cst.Name) -> Template | None:
    if isinstance(node, cst.SimpleString) and isinstance(node.evaluated_value, bytes):
        try:
            return (node.evaluated_value.decode(),)
        except UnicodeDecodeError:
            return None
    text = module.text_of(node)
    return None if text is None else (text,)


def _formatted(module: SourceModule, node: cst.FormattedString) -> Template | None:
    quote = node.end
    found: list[str | Hole] = []
    for part in node.parts:
        if isinstance(part, cst.FormattedStringExpression):
            hole = _formatted_hole(module, part)
            if hole is None:
                return None
            found.append(hole)
        elif isinstance(part, cst.FormattedStringText):
            source = part.value.replace("{{", "{").replace("}}", "}")
            found.append(str(ast.literal_eval(node.prefix.lower().replace("f", "") + quote + source + quote)))
    return tuple(found)


def _formatted_hole(module: SourceModule, part: cst.FormattedStringExpression) -> Hole | None:
    if part.equal is not None:
        return None  # f"{x=}" says its own name
    spec = module.tree.code_for_node(cst.FormattedString(part.format_spec))[2:-1] if part.format_spec else ""
    hole = _hole(module, part.expression)
    return replace(hole, conversion=part.conversion, spec=spec) if part.conversion or spec else hole


def _operation(module: SourceModule, node: cst.BinaryOperation) -> Template | None:
    if isinstance(node.operator, cst.Add):
        return _sum(module, node)
    return _percent(module, node) if isinstance(node.operator, cst.Modulo) else None


def _sum(module: SourceModule, node: cst.BinaryOperation) -> Template | None:
    left, right = _parts(module, node.left), _parts(module, node.right)
    if left is None and right is None:
        return None
    if _is_bytes(module, node.left) or _is_bytes(module, node.right):
        return _both(left, right)
    # What is added to a `str` is one: anything else would be a TypeError.
    return (left or (_hole(module, node.left, is_text=True),)) + (right or (_hole(module, node.right, is_text=True),))


def _is_bytes(module: SourceModule, node: cst.BaseExpression) -> bool:
    if isinstance(node, cst.BinaryOperation):
        return _is_bytes(module, node.left) or _is_bytes(module, node.right)
    if isinstance(node, cst.SimpleString):
        return "b" in node.prefix.lower()
    return isinstance(node, cst.Call) and _method(node) == "encode"


def _percent(module: SourceModule, node: cst.BinaryOperation) -> Template | None:
    text = module.text_of(node.left) or ""
    values = _percent_values(module, node.right)
    # %s is str(), as a hole in an f-string is, and %.2f is :.2f; %d would round what :d refuses.
    specs = [spec.removeprefix("s") for spec in PERCENT.findall(text)]
    if values is None or text.count("%") != len(specs) or len(specs) != len(values):
        return None
    holes = [_specified(module, hole, spec) for hole, spec in zip(values, specs, strict=True)]
    return _filled(PERCENT.split(text)[::2], holes)


def _specified(module: SourceModule, hole: Hole, spec: str) -> Hole:
    if not spec or _is_number(module, hole.expression):
        return replace(hole, spec=spec) if spec else hole
    # `%` makes a float of its operand first, and `:.2f` asks the operand: a Decimal rounds otherwise.
    return replace(hole, percent=spec, is_text=True)


def _percent_values(module: SourceModule, node: cst.BaseExpression) -> list[Hole] | None:
    if isinstance(node, cst.Tuple):
        elements = [element.value for element in node.elements if isinstance(element, cst.Element)]
        return [_hole(module, value) for value in elements] if len(elements) == len(node.elements) else None
    # Anything that may be a tuple would be taken apart.
    is_one = isinstance(node, cst.BinaryOperation) and isinstance(node.operator, cst.Subtract | cst.Divide)
    return [_hole(module, node)] if is_one or _is_text(module, node) else None


def _filled(texts: list[str], holes: list[Hole]) -> Template:
    found: list[str | Hole] = [texts[0]]
    for hole, text in zip(holes, texts[1:], strict=True):
        found += [hole, text]
    return tuple(found)


def _call(module: SourceModule, node: cst.Call) -> Template | None:
    if not isinstance(node.func, cst.Attribute):
        return None
    if node.func.attr.value == "encode" and _is_utf8(module, node):
        value = node.func.value
        # What else has a method `encode` may make any bytes of itself.
        return _parts(module, value) or ((_hole(module, value),) if _is_text(module, value) else None)
    text = module.text_of(node.func.value) if node.func.attr.value == "format" else None
    return None if text is None else _format(module, text, node)


def _is_utf8(module: SourceModule, node: cst.Call) -> bool:
    return not node.args or (len(node.args) == 1 and (module.text_of(node.args[0].value) or "").lower() in UTF8)


def _format(module: SourceModule, text: str, node: cst.Call) -> Template | None:
    if any(arg.star for arg in node.args):
        return None
    given: dict[str, cst.BaseExpression] = {arg.keyword.value: arg.value for arg in node.args if arg.keyword}
    given.update((str(at), arg.value) for at, arg in enumerate(arg for arg in node.args if not arg.keyword))
    numbers = iter(range(len(node.args)))
    try:
        pieces = list(string.Formatter().parse(text))
    except ValueError:
        return None
    found: list[str | Hole] = []
    for literal, name, spec, conversion in pieces:
        found.append(literal)
        if name is None:
            continue
        value = given.get(name or str(next(numbers, "")))
        if value is None or "{" in (spec or ""):
            return None
        hole = _hole(module, value)
        found.append(replace(hole, conversion=conversion, spec=spec or "") if conversion or spec else hole)
    return tuple(found)


def quote_of(module: SourceModule, node: cst.BaseExpression) -> str:
    """Return the quote of the first string in `node`."""
    strings = (part for part in (node, *module.find(cst.SimpleString, cst.FormattedString, within=node)))
    first = next((part for part in strings if isinstance(part, cst.SimpleString | cst.FormattedString)), None)
    if isinstance(first, cst.FormattedString):
        return first.end[0]
    return first.quote[0] if first is not None else '"'


def written(template: Template, code: Callable[[cst.CSTNode], str], quote: str = '"') -> cst.BaseExpression | None:
    """Return an expression of type `str` that says `template`; None where no literal of Python 3.11 can.

    Args:
        template: What it says.
        code: Returns the source of a node.
        quote: The quote that its strings had: they keep it if nothing has to be escaped for it, or no more than for
            the other.
    """
    if len(template) == 1 and isinstance(template[0], Hole) and template[0].stands_alone:
        return template[0].shown
    quotes = sorted(('"', "'"), key=lambda one: (_count(template, one), one != quote))
    if all(isinstance(part, str) for part in template):
        text = "".join(_escaped(str(part), quotes[0]) for part in template)
        return cst.SimpleString(f"{quotes[0]}{text}{quotes[0]}")
    holes = [_hole_code(part, code) for part in template if isinstance(part, Hole)]
    # Before Python 3.12 an expression in an f-string has no backslash, no comment and none of the string's quotes.
    chosen = next((one for one in quotes if not any(one in hole for hole in holes)), None)
    if chosen is None or any(character in hole for hole in holes for character in "\\#\n\r"):
        return None
    text = "".join(_spelled(template, iter(holes), chosen))
    return cst.parse_expression(f"f{chosen}{text}{chosen}")


def _count(template: Template, quote: str) -> int:
    return sum(part.count(quote) for part in template if isinstance(part, str))


def _spelled(template: Template, holes: Iterator[str], quote: str) -> Iterator[str]:
    for part in template:
        if isinstance(part, Hole):
            yield next(holes)
        else:
            yield _escaped(part, quote).replace("{", "{{").replace("}", "}}")


def _hole_code(hole: Hole, code: Callable[[cst.CSTNode], str]) -> str:
    inner = code(hole.shown)
    if inner.startswith("{") or isinstance(hole.expression, cst.Lambda):
        inner = f"({inner})"
    conversion = f"!{hole.conversion}" if hole.conversion else ""
    spec = f":{hole.spec}" if hole.spec else ""
    return f"{{{inner}{conversion}{spec}}}"


def _escaped(text: str, quote: str) -> str:
    return "".join(
        f"\\{character}"
        if character in {quote, "\\"}
        else character
        if character.isprintable()
        else repr(character)[1:-1]
        for character in text
    )
